//! Sets the header by which the proxy learns the destination of a request.

use crate::config::Config;
use crate::host::{self, HostError, Map};
use crate::pool::choice::{ALONE, ANY, ANY_AT_ONCE};

/// Headers that say how often Envoy retries, and after which answers.
const RETRIES: &str = "x-envoy-max-retries";
const RETRY_ON: &str = "x-envoy-retry-on";
const STATUSES: &str = "x-envoy-retriable-status-codes";
/// How long Envoy waits for the headers of one server's answer, in milliseconds.
const TRY_TIMEOUT: &str = "x-envoy-upstream-rq-per-try-timeout-ms";

/// Sets the destination header of the request at hand, and the retries where they differ from the
/// route's.
///
/// - `hosts`: `ip:port[,ip:port]`, best first, at least one, followed by [`ALONE`], [`ANY`],
///   [`ANY_AT_ONCE`] or nothing.
pub(crate) fn set_header(config: &Config, hosts: &str) -> Result<(), HostError> {
    let destination = &config.destination;
    let all = hosts.trim_end_matches([ALONE, ANY, ANY_AT_ONCE]);
    let set = |name: &str, value: &str| host::set_header(Map::HttpRequestHeaders, name, value);
    set(&destination.header, &destination.value(all))?;
    if hosts.ends_with(ALONE) {
        set(RETRIES, "0")?;
    } else if hosts.ends_with([ANY, ANY_AT_ONCE]) {
        let others = all.bytes().filter(|byte| *byte == b',').count();
        // A server that hangs holds the search for as long as a try may take. A prompt may take any
        // time.
        let retry_on = if hosts.ends_with(ANY_AT_ONCE) {
            set(TRY_TIMEOUT, "5000")?;
            "retriable-status-codes,reset"
        } else {
            "retriable-status-codes"
        };
        set(RETRY_ON, retry_on)?;
        set(STATUSES, "404")?;
        set(RETRIES, &others.to_string())?;
    }
    Ok(())
}
