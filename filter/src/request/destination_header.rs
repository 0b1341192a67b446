//! Sets the header by which the proxy learns the destination of a request.

use crate::config::Config;
use crate::host::{self, HostError, Map};

/// The header that sets how often Envoy retries.
const RETRIES: &str = "x-envoy-max-retries";

/// Sets the destination header of the request at hand.
///
/// - `hosts`: `ip:port[,ip:port]`, best first, at least one. A comma at the end means that nobody
///   else can serve the request. Retries are then switched off: one would turn a temporary error
///   into "not found".
pub(crate) fn set_header(config: &Config, hosts: &str) -> Result<(), HostError> {
    let destination = &config.destination;
    let all = hosts.strip_suffix(',');
    let value = destination.value(all.unwrap_or(hosts));
    host::set_header(Map::HttpRequestHeaders, &destination.header, &value)?;
    match all {
        Some(_) => host::set_header(Map::HttpRequestHeaders, RETRIES, "0"),
        None => Ok(()),
    }
}
