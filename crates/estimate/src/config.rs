//! Settings of a pool and its endpoints, known before anything is measured.

use crate::prior::Prior;
use std::collections::BTreeMap;
use std::time::Duration;
use trimtab_loadtable::Role;

/// Settings of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// The pool's name, 1..=253 bytes.
    pub name: String,
    /// Random number, drawn at each start of the aggregator.
    pub epoch: u64,
    /// The pool's secret placement key. Replicas of one pool must agree on it. Lists of reports
    /// that were made under another key are ignored.
    pub placement_key: [u8; 16],
    /// Failed scrapes in a row after which an endpoint is suspect.
    pub suspect_after_failures: u32,
    /// Age of the last good sample after which an endpoint is suspect.
    pub suspect_after: Duration,
    /// How long a report counts. Proxies sync far more often, so a proxy that is silent for this
    /// long is gone.
    pub report_ttl: Duration,
    /// How many proxies are remembered.
    pub max_proxies: usize,
    /// How many pairs of a proxy and an endpoint are remembered. Each takes about 48 bytes.
    pub max_proxy_endpoints: usize,
    /// Speeds by class that are assumed until they are measured. A class that is not listed goes by
    /// the longest beginning of its name that is, as far as a blank, times the number of devices;
    /// then by [`Prior::of_accelerator`].
    pub priors: BTreeMap<String, Prior>,
    /// Seconds for which loading an adapter blocks an endpoint. No engine reports it. Absent: not
    /// known.
    pub adapter_load_s: Option<f32>,
}

impl PoolConfig {
    /// Returns settings with this identity. Everything else has its default.
    #[must_use]
    pub fn new(name: impl Into<String>, epoch: u64, placement_key: [u8; 16]) -> Self {
        Self {
            name: name.into(),
            epoch,
            placement_key,
            suspect_after_failures: 3,
            suspect_after: Duration::from_secs(2),
            report_ttl: Duration::from_secs(15),
            max_proxies: 10_000,
            max_proxy_endpoints: 2_000_000,
            priors: BTreeMap::new(),
            adapter_load_s: None,
        }
    }
}

/// One endpoint, as discovery lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointSpec {
    /// `ip:port` or `[ipv6]:port`.
    pub address: String,
    /// Hardware class: accelerator or pod template. Empty: the default class.
    pub class: String,
    /// What it does in a disaggregated pool.
    pub role: Role,
    /// Whether the endpoint is leaving: it then gets no new requests.
    pub draining: bool,
    /// Its zone. May be empty.
    pub zone: String,
    /// Most sequences in one batch, where the operator knows and the server does not report it.
    pub batch_limit: Option<u32>,
}
