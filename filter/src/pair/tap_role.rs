//! The role *tap* of the two-plugin form: says to pick where a request shall go.

use crate::host;
use crate::pair::messages::{Fault, Message, Seat};
use crate::plugin::deciding::DecidingPlugin;

/// Sends pick the destination of the request at hand. Returns `false` if pick will not get it.
///
/// - `hosts`: `ip:port[,ip:port]`, best first; empty: none, the proxy balances by itself.
pub(crate) fn tell_pick(plugin: &DecidingPlugin, hosts: &str) -> bool {
    let seat = plugin.checked(host::property(&plugin.seat)).flatten();
    match seat.as_deref().and_then(Seat::decode) {
        Some(Seat::Waits { queue, context_id }) => {
            let message = Message { context_id, hosts }.encode();
            let sent = plugin.checked(host::enqueue(queue, &message));
            if sent == Some(false) {
                plugin.fault(Fault::NoQueue);
            }
            sent == Some(true)
        }
        Some(Seat::Refused) => false,
        None => {
            plugin.fault(Fault::NoPick);
            false
        }
    }
}
