//! What a proxy reports to the aggregator.

use crate::{Moved, Seen, Version};

/// One proxy's view of a pool, with all of its workers together. Counters are totals since the
/// proxy's start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Name of the pool, 1..=253 bytes.
    pub pool: String,
    /// Random for each start of a proxy.
    pub proxy: u64,
    /// Counts up with each report, from 1.
    pub sequence: u64,
    /// The newest table that this proxy has. Absent: none yet, and the answer should come at once.
    pub have: Option<Version>,
    /// [`Table::placement_key`](crate::Table::placement_key) of that table. The keys in this report
    /// were made with it. Absent: none yet.
    pub placement_key: Option<[u8; 16]>,
    /// How long the aggregator may hold the answer when there is no newer table, in milliseconds.
    pub wait_ms: u32,
    /// Workers (pickers) of this proxy.
    pub workers: u32,
    /// Requests decided since the proxy's start.
    pub decided: u64,
    /// Endpoints that this proxy reports about, sorted by address, unique.
    pub endpoints: Vec<EndpointReport>,
    /// How often shared keys were asked for since the report before, each key once, in any order.
    ///
    /// These are counts and not totals. A lost report loses its counts, because the heat list is
    /// only a statistic.
    pub prefixes: Vec<PrefixCount>,
    /// Conversations whose newest turns went elsewhere than their keys say, since the report
    /// before.
    pub moved: Vec<Moved>,
    /// What endpoints have begun to hold since the report before. Sorted by key, unique.
    pub held: Vec<Moved>,
}

/// How often a shared key was asked for: a shared beginning of prompts, or an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixCount {
    /// Keyed hash of the beginning, or of the adapter's name.
    pub key: u64,
    /// Requests.
    pub count: u32,
}

/// One proxy's traffic on one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointReport {
    /// `ip:port`, as in the table.
    pub address: String,
    /// Requests that were sent with their whole bodies and have not ended.
    pub in_flight: u32,
    /// Uncached prompt tokens that were sent and have no first byte of the answer's body yet.
    pub pending_tokens: u32,
    /// Requests that these tokens belong to, including those whose bodies are still coming.
    pub pending: u32,
    /// Requests sent since the proxy's start.
    pub sent: u64,
    /// Uncached prompt tokens of those requests, as expected when they were sent.
    pub sent_tokens: u64,
    /// Requests that got a first byte of the answer's body.
    pub started: u64,
    /// Requests that ended, in whatever way.
    pub finished: u64,
    /// Ended requests that failed: by a reset, a timeout, a failed connection or a 5xx. Of requests
    /// that tried out an endpoint, those that ended with anything but 2xx.
    pub failed: u64,
    /// Times and errors that were seen since the report before, ascending by kind.
    ///
    /// These are counts and not totals, as in [`Report::prefixes`]. The reader would have to keep
    /// totals for each proxy and endpoint.
    pub seen: Vec<Seen>,
}
