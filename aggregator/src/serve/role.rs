//! The kinds of callers that a listener serves.

use std::time::Duration;
use trimtab_loadtable::limits;

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Proxies send reports, and get tables with the placement key.
    Proxies,
    /// People and their tools get pools and tables without the placement key.
    People,
    /// Health checks and Prometheus.
    Health,
}

impl Role {
    /// How long a connection may be silent in both directions before it is closed. A caller whose
    /// machine is gone never closes its connection. Such connections would take all places.
    pub(super) fn idle(self) -> Duration {
        match self {
            // Twice the longest poll, because a proxy may be silent for a whole poll.
            Self::Proxies => Duration::from_millis(2 * u64::from(limits::WAIT_MS)),
            Self::People => Duration::from_secs(60),
            // Prometheus asks once a minute by default.
            Self::Health => Duration::from_secs(150),
        }
    }

    /// The role's name, as a label of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proxies => "proxies",
            Self::People => "people",
            Self::Health => "health",
        }
    }

    /// Lists the role's paths, for the answer to an unknown path.
    pub(super) fn paths(self) -> &'static str {
        match self {
            Self::Proxies => "/v1/pools/POOL/sync, /v1/pools/POOL/report, /v1/pools/POOL/table",
            Self::People => "/v1/pools, /v1/pools/POOL/table",
            Self::Health => "/healthz, /readyz, /metrics",
        }
    }
}
