//! Writes one log line for each request.

use std::net::SocketAddr;
use std::time::Instant;

/// The facts of a request. Dropping them writes the log line, so every way of ending is logged.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) started: Instant,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    /// Hosts that the filter named, as it wrote them.
    pub(super) destination: Option<String>,
    /// Value of the filter's explain header.
    pub(super) decision: Option<String>,
    pub(super) upstream: Option<SocketAddr>,
    pub(super) attempts: u32,
    /// Whether the client got the whole answer.
    pub(super) complete: bool,
}

impl Access {
    pub(super) fn new(method: &str, path: &str) -> Self {
        Self {
            started: Instant::now(),
            method: method.to_owned(),
            path: path.to_owned(),
            status: None,
            destination: None,
            decision: None,
            upstream: None,
            attempts: 0,
            complete: false,
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let upstream = self.upstream.map(|address| address.to_string());
        tracing::info!(
            target: "access",
            method = %self.method,
            path = %self.path,
            status = self.status.unwrap_or(0),
            upstream = upstream.as_deref().unwrap_or("-"),
            destination = self.destination.as_deref().unwrap_or("-"),
            decision = self.decision.as_deref().unwrap_or("-"),
            attempts = self.attempts,
            complete = self.complete,
            elapsed_ms,
        );
    }
}
