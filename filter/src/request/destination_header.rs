//! Sets the header by which the proxy learns where a request shall go.

use crate::config::Config;
use crate::host::{self, HostError, Map};

/// By which Envoy is told how often to try again.
const RETRIES: &str = "x-envoy-max-retries";

/// Sets the destination header of the request at hand. `hosts`: `ip:port[,ip:port]`, best first, at least one. With a comma at the end nobody else
/// can serve the request: a retry would turn an error that passes into "not found", so there is none.
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
