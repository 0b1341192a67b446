//! Sets the header by which the proxy learns where a request shall go.

use crate::config::Config;
use crate::host::{self, HostError, Map};

/// Sets the destination header of the request at hand. `hosts`: `ip:port[,ip:port]`, best first, at least one.
pub(crate) fn set_header(config: &Config, hosts: &str) -> Result<(), HostError> {
    let destination = &config.destination;
    let value = destination.value(hosts);
    host::set_header(Map::HttpRequestHeaders, &destination.header, &value)
}
