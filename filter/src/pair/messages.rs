//! What the two plugins of the *tap + pick* form tell each other about one request.
//!
//! Both stand in the chain, tap first, each in a VM of its own.
//!
//! 1. At headers tap leaves a [`Mark`] in the stream's filter state: whether a destination will
//!    follow.
//! 2. Pick holds the headers and leaves its [`Seat`].
//! 3. When tap has seen enough of the body, it sends a [`Message`] to that seat.
//! 4. Pick sets the header and lets the request go on.
//!
//! A plugin that does not find what the other leaves knows that the other is missing, stands in the
//! wrong place, or serves other pools.

use std::cell::Cell;
use std::fmt;

/// Name of the property in which tap leaves its [`Mark`].
pub(crate) const MARK: &str = "trimtab_tap";
/// Name of the property in which pick leaves its [`Seat`].
pub(crate) const SEAT: &str = "trimtab_pick";

/// What tap says about a completion request at its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    /// Whether a [`Message`] will follow. Otherwise the request is settled already.
    pub(crate) follows: bool,
    /// The pools that tap serves.
    pub(crate) pools: &'a [u8],
}

impl<'a> Mark<'a> {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.pools.len());
        out.push(u8::from(self.follows));
        out.extend(self.pools);
        out
    }

    /// Returns `None` if tap did not write these bytes.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (follows, pools) = bytes.split_first()?;
        (*follows <= 1).then_some(Self {
            follows: *follows == 1,
            pools,
        })
    }
}

/// Where pick waits with the headers of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// Pick does not wait: it serves other pools, has no queue, or has waited long enough. Pick has
    /// reported that itself.
    Refused,
    /// Pick waits for messages in this queue, under this number.
    Waits { queue: u32, context_id: u32 },
}

impl Seat {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Refused => vec![0],
            Self::Waits { queue, context_id } => {
                [queue.to_le_bytes(), context_id.to_le_bytes()].concat()
            }
        }
    }

    /// Returns `None` if pick did not write these bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(Self::Refused),
            _ => {
                let [queue, context_id] = bytes.as_chunks::<4>().0.try_into().ok()?;
                (bytes.len() == 8).then(|| Self::Waits {
                    queue: u32::from_le_bytes(queue),
                    context_id: u32::from_le_bytes(context_id),
                })
            }
        }
    }
}

/// What tap sends to a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Pick's number of the request.
    pub(crate) context_id: u32,
    /// The destinations, best first. Empty: none; the proxy balances by itself.
    pub(crate) hosts: &'a str,
}

impl<'a> Message<'a> {
    pub(crate) fn encode(self) -> Vec<u8> {
        [&self.context_id.to_le_bytes()[..], self.hosts.as_bytes()].concat()
    }

    /// Returns `None` if tap did not write these bytes.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (context_id, hosts) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            context_id: u32::from_le_bytes(*context_id),
            hosts: std::str::from_utf8(hosts).ok()?,
        })
    }
}

/// A mistake of the setup that shows only at run time, with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Single: the body of a held request comes only after its headers are let go.
    NoStopIteration,
    /// Tap found no seat.
    NoPick,
    /// Pick found no mark on a completion request.
    NoTap,
    /// Tap and pick serve different pools.
    OtherPools,
    /// Pick has no queue by which tap could reach it.
    NoQueue,
    /// Tap did not send a destination in time.
    Late,
    /// A route names a pool that the plugin does not have.
    RoutePool,
    /// A route names an unknown mode.
    RouteMode,
    /// Most requests go elsewhere than their destination header says.
    NotFollowed,
}

impl Fault {
    /// Every fault, in the order of declaration.
    pub(crate) const ALL: [Self; 9] = [
        Self::NoStopIteration,
        Self::NoPick,
        Self::NoTap,
        Self::OtherPools,
        Self::NoQueue,
        Self::Late,
        Self::RoutePool,
        Self::RouteMode,
        Self::NotFollowed,
    ];

    /// Label of the counter.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoStopIteration => "no_stop_iteration",
            Self::NoPick => "no_pick",
            Self::NoTap => "no_tap",
            Self::OtherPools => "other_pools",
            Self::NoQueue => "no_queue",
            Self::Late => "late",
            Self::RoutePool => "route_pool",
            Self::RouteMode => "route_mode",
            Self::NotFollowed => "not_followed",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStopIteration => {
                "the body of a request comes only when its headers are let go, so requests are placed by their headers alone; set allow_on_headers_stop_iteration: true in the plugin's configuration, or use the tap + pick form"
            }
            Self::NoPick => {
                "role tap: no plugin with role pick holds the headers, so requests are not placed; add one behind this plugin in the same chain (in Istio: with a lower priority)"
            }
            Self::NoTap => {
                "role pick: no plugin with role tap has seen the request, so it is not placed; add one before this plugin in the same chain (in Istio: with a higher priority)"
            }
            Self::OtherPools => {
                "role pick: the plugin with role tap before this one serves other pools, so requests are not placed; give both the same pools"
            }
            Self::NoQueue => {
                "role pick: the proxy gives no shared queue, so requests are not placed"
            }
            Self::Late => {
                "role pick: no destination came from the plugin with role tap in time; the request goes on without"
            }
            Self::RoutePool => {
                "a route's metadata trimtab.pool names a pool that this plugin does not have, so its requests are not placed"
            }
            Self::RouteMode => {
                "a route's metadata trimtab.mode is none of enforce, observe and a percentage, so it is ignored"
            }
            Self::NotFollowed => {
                "most requests go elsewhere than they are sent, so the decisions have no effect; let the route's cluster take its destination from the plugin's destination header (deploy/envoy/destinations has what each form needs), and give it the endpoints that the aggregator has"
            }
        })
    }
}

/// Which faults have been logged; each is logged once.
#[derive(Debug, Default)]
pub(crate) struct Reported(Cell<u16>);

impl Reported {
    /// Whether this fault has not been logged before. It then counts as logged.
    pub(crate) fn is_first(&self, fault: Fault) -> bool {
        let bit = 1 << fault as u8;
        let before = self.0.replace(self.0.get() | bit);
        before & bit == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(follows: bool, pools in "[a-z,]{0,30}", queue: u32, context_id: u32, hosts in "[0-9.:,]{0,60}") {
            let mark = Mark { follows, pools: pools.as_bytes() };
            let bytes = mark.encode();
            prop_assert_eq!(Mark::decode(&bytes), Some(mark));
            for seat in [Seat::Refused, Seat::Waits { queue, context_id }] {
                prop_assert_eq!(Seat::decode(&seat.encode()), Some(seat));
            }
            let message = Message { context_id, hosts: &hosts };
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Some(message));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (Mark::decode(&bytes), Message::decode(&bytes));
            if let Some(seat) = Seat::decode(&bytes) {
                prop_assert_eq!(seat.encode(), bytes);
            }
        }
    }
}
