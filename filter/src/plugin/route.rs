//! What a route says about its requests: strings of its metadata under `trimtab`.
//!
//! Envoy's own per-route configuration of filters does not take one for Wasm (but `disabled`, which works for any filter); route
//! metadata can be read by a filter, and every control plane can set it.

use crate::config::Mode;
use crate::host;
use crate::pair::messages::Fault;
use crate::plugin::deciding::Decider;

/// The pool that the route names; absent: none.
pub(crate) fn pool(decider: &Decider) -> Option<Vec<u8>> {
    let value = host::property("xds\0route_metadata\0filter_metadata\0trimtab\0pool");
    let name = decider
        .checked(value)
        .flatten()
        .filter(|name| !name.is_empty());
    let known = |name: &Vec<u8>| {
        let mut pools = decider.config.pools.iter();
        pools.any(|pool| pool.name.as_bytes() == name.as_slice())
    };
    if name.as_ref().is_some_and(|name| !known(name)) {
        decider.fault(Fault::RoutePool);
    }
    name
}

/// The mode that the route names, as a word or a percentage in digits; absent: none that is known.
pub(crate) fn mode(decider: &Decider) -> Option<Mode> {
    let value = host::property("xds\0route_metadata\0filter_metadata\0trimtab\0mode");
    let word = decider
        .checked(value)
        .flatten()
        .filter(|word| !word.is_empty())?;
    let mode = Mode::named(&word);
    if mode.is_none() {
        decider.fault(Fault::RouteMode);
    }
    mode
}
