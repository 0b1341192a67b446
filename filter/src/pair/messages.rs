//! What the two plugins of the *tap + pick* form tell each other about one request.
//!
//! Both stand in the chain, tap first, each in a VM of its own.
//!
//! 1. At headers tap adds a [`Mark`] to those in the stream's filter state: whether a destination
//!    will follow.
//! 2. Pick holds the headers and leaves its [`Seat`].
//! 3. When tap has seen enough of the body, it sends a [`Message`] to that seat.
//! 4. Pick sets the header and lets the request go on.
//!
//! A plugin that does not find what the other leaves knows that the other is missing, stands in the
//! wrong place, or serves other pools. A chain may have several pairs, in any order of each pair's
//! pick behind its tap: marks and seats go by the pair's pools and header.

use std::cell::Cell;
use std::fmt;

/// Name of the property in which each tap of the chain leaves its [`Mark`].
pub(crate) const MARK: &str = "trimtab_tap";

/// Returns the name of the property in which the pick of a pair leaves its [`Seat`].
pub(crate) fn seat_of(pair: &str) -> String {
    ["trimtab_pick/", pair].concat()
}

/// What a tap says about a completion request at its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The request is none of this pair's.
    Passes = 0,
    /// A [`Message`] will follow.
    Follows = 1,
    /// The destination is in the headers already, or there is none.
    Settled = 2,
}

/// The marks of a request: one after the other, each a number and the tap's pair, with a separator
/// between them that no pair has.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<u8>);

impl Marks {
    const SEPARATOR: u8 = b';';

    /// - `bytes`: the property, of whatever origin; absent: no tap has said anything.
    pub(crate) fn new(bytes: Option<Vec<u8>>) -> Self {
        Self(bytes.unwrap_or_default())
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = (u8, &[u8])> {
        let parts = self.0.split(|byte| *byte == Self::SEPARATOR);
        parts.filter_map(|part| part.split_first().map(|(mark, pair)| (*mark, pair)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the last mark of a tap of this pair. `None`: there is none.
    pub(crate) fn of(&self, pair: &str) -> Option<Mark> {
        let (mark, _) = self.all().rfind(|(_, own)| *own == pair.as_bytes())?;
        [Mark::Passes, Mark::Follows, Mark::Settled]
            .into_iter()
            .find(|known| *known as u8 == mark)
    }

    /// Whether some pair places the request by a header whose name ends so.
    pub(crate) fn is_taken(&self, header: &str) -> bool {
        let takes = |mark| mark == Mark::Follows as u8 || mark == Mark::Settled as u8;
        let mut all = self.all();
        all.any(|(mark, pair)| takes(mark) && pair.ends_with(header.as_bytes()))
    }

    /// Returns the bytes with one more mark.
    pub(crate) fn with(&self, mark: Mark, pair: &str) -> Vec<u8> {
        let mut out = self.0.clone();
        if !out.is_empty() {
            out.push(Self::SEPARATOR);
        }
        out.push(mark as u8);
        out.extend(pair.as_bytes());
        out
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
    /// Tap and pick serve different pools, or set different headers.
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
    /// Tap: another pair of the chain places the request.
    TwoPairs,
}

impl Fault {
    /// Every fault, in the order of declaration.
    pub(crate) const ALL: [Self; 10] = [
        Self::NoStopIteration,
        Self::NoPick,
        Self::NoTap,
        Self::OtherPools,
        Self::NoQueue,
        Self::Late,
        Self::RoutePool,
        Self::RouteMode,
        Self::NotFollowed,
        Self::TwoPairs,
    ];

    /// Label of the counter.
    pub(crate) fn name(self) -> &'static str {
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
            Self::TwoPairs => "two_pairs",
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
                "role tap: no plugin with role pick and the same pools holds the headers, so requests are not placed; add one behind this plugin in the same chain (in Istio: with a lower priority)"
            }
            Self::NoTap => {
                "role pick: no plugin with role tap has seen the request, so it is not placed; add one before this plugin in the same chain (in Istio: with a higher priority)"
            }
            Self::OtherPools => {
                "role pick: the plugin with role tap before this one serves other pools or sets another header, so requests are not placed; give both the same settings"
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
            Self::TwoPairs => {
                "role tap: another pair of plugins in this chain places the same requests, so this one leaves them to it; remove one, or give the pools of each their own `services` or `clusters`"
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
        fn what_is_written_is_read_back(queue: u32, context_id: u32, hosts in "[0-9.:,]{0,60}") {
            for seat in [Seat::Refused, Seat::Waits { queue, context_id }] {
                prop_assert_eq!(Seat::decode(&seat.encode()), Some(seat));
            }
            let message = Message { context_id, hosts: &hosts };
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Some(message));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let marks = Marks::new(Some(bytes.clone()));
            let _ = (marks.of("chat@h"), marks.is_taken(""), Message::decode(&bytes));
            let more = Marks::new(Some(marks.with(Mark::Follows, "chat,code.x@h")));
            prop_assert_eq!(more.of("chat,code.x@h"), Some(Mark::Follows));
            prop_assert!(more.is_taken("@h"));
            if let Some(seat) = Seat::decode(&bytes) {
                prop_assert_eq!(seat.encode(), bytes);
            }
        }
    }

    #[test]
    fn each_pair_finds_its_own_last_mark_and_the_header_that_another_sets() {
        let mut marks = Marks::new(None);
        assert!(marks.is_empty() && marks.of("a@x").is_none() && !marks.is_taken(""));
        for (mark, pair, taken) in [
            (Mark::Passes, "a@x", false),
            (Mark::Settled, "b@y", true),
            (Mark::Passes, "b@y", true),
            (Mark::Follows, "a,b@x", true),
        ] {
            marks = Marks::new(Some(marks.with(mark, pair)));
            assert_eq!((marks.of(pair), marks.is_taken("")), (Some(mark), taken));
            assert_eq!(marks.is_taken("@x"), pair == "a,b@x");
        }
        assert_eq!(marks.of("a@x"), Some(Mark::Passes));
        assert_eq!((marks.of("a"), marks.of("a@y")), (None, None));
    }
}
