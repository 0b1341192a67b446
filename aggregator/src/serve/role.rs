//! Whom a listener serves.

use std::time::Duration;
use trimtab_loadtable::limits;

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Proxies: they report, and get tables with the secret of the placement hashes.
    Proxies,
    /// People and their tools: pools and tables, without that secret.
    People,
    /// Health checks and Prometheus.
    Health,
}

impl Role {
    /// A connection without a byte in either direction for so long is closed: a caller whose machine is gone never says so, and its
    /// connection would be held until nobody else gets one.
    pub(super) fn idle(self) -> Duration {
        match self {
            // Twice the longest poll, which is the longest honest silence.
            Self::Proxies => Duration::from_millis(2 * u64::from(limits::WAIT_MS)),
            Self::People => Duration::from_secs(60),
            // Prometheus asks once a minute by default.
            Self::Health => Duration::from_secs(150),
        }
    }

    /// What is at its paths, for who asks at another listener.
    pub(super) fn paths(self) -> &'static str {
        match self {
            Self::Proxies => "/v1/pools/POOL/sync, /v1/pools/POOL/report, /v1/pools/POOL/table",
            Self::People => "/v1/pools, /v1/pools/POOL/table",
            Self::Health => "/healthz, /readyz, /metrics",
        }
    }
}
