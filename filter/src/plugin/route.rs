//! What a route says about its requests: strings of its metadata under `trimtab`.
//!
//! Envoy's own per-route configuration of filters does not take one for Wasm (but `disabled`, which works for any filter); route
//! metadata can be read by a filter, and every control plane can set it.

use crate::host::{self, HostError};

/// The pool that the route names; absent: none.
pub(crate) fn pool() -> Result<Option<Vec<u8>>, HostError> {
    named("xds\0route_metadata\0filter_metadata\0trimtab\0pool")
}

/// The mode that the route names, as a word or a percentage in digits; absent: none.
pub(crate) fn mode() -> Result<Option<Vec<u8>>, HostError> {
    named("xds\0route_metadata\0filter_metadata\0trimtab\0mode")
}

fn named(path: &str) -> Result<Option<Vec<u8>>, HostError> {
    Ok(host::property(path)?.filter(|word| !word.is_empty()))
}
