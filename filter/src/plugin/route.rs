//! What a route says about its requests: strings of its metadata under `trimtab`.
//!
//! Envoy has no per-route configuration for Wasm filters, except `disabled`, which it has for any
//! filter. A filter can read route metadata, and every control plane can set it.

use crate::host::{self, HostError};

/// Returns the pool that the route names. `None`: it names none.
pub(crate) fn pool() -> Result<Option<Vec<u8>>, HostError> {
    named("xds\0route_metadata\0filter_metadata\0trimtab\0pool")
}

/// Returns the mode that the route names, as a word or a percentage in digits. `None`: it names
/// none.
pub(crate) fn mode() -> Result<Option<Vec<u8>>, HostError> {
    named("xds\0route_metadata\0filter_metadata\0trimtab\0mode")
}

fn named(path: &str) -> Result<Option<Vec<u8>>, HostError> {
    Ok(host::property(path)?.filter(|word| !word.is_empty()))
}
