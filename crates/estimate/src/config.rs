//! What a pool is given before anything is measured.

use crate::prior::Prior;
use std::collections::BTreeMap;
use std::time::Duration;
use trimtab_loadtable::Role;

/// Settings of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// The pool's name, 1..=253 bytes.
    pub name: String,
    /// Random per start of the publisher.
    pub epoch: u64,
    /// The pool's secret for placement hashes. Replicas of one pool have to agree on it. Lists of reports that were made under another one are
    /// ignored.
    pub placement_key: [u8; 16],
    /// Failed scrapes in a row after which an endpoint is suspect.
    pub suspect_after_failures: u32,
    /// Age of the last good sample after which an endpoint is suspect.
    pub suspect_after: Duration,
    /// How long a report counts. Proxies sync far more often; one that is silent for this long is gone.
    pub report_ttl: Duration,
    /// Most proxies that are remembered.
    pub max_proxies: usize,
    /// Most (proxy, endpoint) pairs that are remembered; about 48 bytes each.
    pub max_proxy_endpoints: usize,
    /// Speeds to assume until they are measured, by class; a class that is not named here is looked up in
    /// [`Prior::of_accelerator`].
    pub priors: BTreeMap<String, Prior>,
    /// Seconds an endpoint is blocked while it loads an adapter. No engine reports it; absent: not known.
    pub adapter_load_s: Option<f32>,
}

impl PoolConfig {
    /// Defaults for everything but the identity.
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

/// One endpoint as discovery lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointSpec {
    /// `ip:port` or `[ipv6]:port`.
    pub address: String,
    /// Hardware class: accelerator or pod template; empty: the default class.
    pub class: String,
    /// What it does.
    pub role: Role,
    /// Whether it is going away: it gets no new requests.
    pub draining: bool,
    /// Its zone; may be empty.
    pub zone: String,
    /// Most sequences in one batch, where the operator knows and the server does not say.
    pub batch_limit: Option<u32>,
}
