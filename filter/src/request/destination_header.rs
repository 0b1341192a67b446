//! Tells the proxy where a request shall go.

use crate::config::Config;
use crate::host::{self, HostError, Map};
use crate::pair::messages::{self, Fault, Message, Seat};
use crate::plugin::deciding::Decider;

/// How the destination of a request gets into its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// They are at hand.
    Here,
    /// The plugin with the role pick holds them.
    ByPick,
}

/// Names the destinations of the request at hand. `hosts`: `ip:port[,ip:port]`, best first; empty: none. `false`: the proxy does not know
/// of them.
pub(crate) fn name(decider: &Decider, hosts: &str, way: Way) -> bool {
    match way {
        Way::Here => {
            !hosts.is_empty()
                && decider
                    .checked(set_header(&decider.config, hosts))
                    .is_some()
        }
        // Without hosts too: pick waits for a word.
        Way::ByPick => tell_pick(decider, hosts) && !hosts.is_empty(),
    }
}

/// Sets the destination header of the request at hand. `hosts`: as in [`name`], at least one.
pub(crate) fn set_header(config: &Config, hosts: &str) -> Result<(), HostError> {
    let destination = &config.destination;
    let value = destination.value(hosts);
    host::set_header(Map::HttpRequestHeaders, &destination.header, &value)
}

fn tell_pick(decider: &Decider, hosts: &str) -> bool {
    let seat = decider.checked(host::property(messages::SEAT)).flatten();
    match seat.as_deref().and_then(Seat::decode) {
        Some(Seat::Waits { queue, context_id }) => {
            let message = Message { context_id, hosts }.encode();
            let sent = decider.checked(host::enqueue(queue, &message));
            if sent == Some(false) {
                decider.fault(Fault::NoQueue);
            }
            sent == Some(true)
        }
        Some(Seat::Refused) => false,
        None => {
            decider.fault(Fault::NoPick);
            false
        }
    }
}
