//! What a proxy tells the aggregator.

use crate::{Moved, Seen, Version};

/// One proxy's view of a pool, all of its workers together. Counters are totals since the proxy's start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Name of the pool, 1..=253 bytes.
    pub pool: String,
    /// Random per proxy start.
    pub proxy: u64,
    /// Counts up per report, from 1.
    pub sequence: u64,
    /// The newest table this proxy has; absent: none yet, answer at once.
    pub have: Option<Version>,
    /// [`Table::placement_key`](crate::Table::placement_key) of that table, by which the keys in this report were made; absent: none yet.
    pub placement_key: Option<[u8; 16]>,
    /// How long the aggregator may hold the answer when it has no news, in milliseconds.
    pub wait_ms: u32,
    /// Workers (deciders) of this proxy.
    pub workers: u32,
    /// Requests decided since the proxy's start.
    pub decided: u64,
    /// Endpoints on which this proxy has something to say, sorted by address, unique.
    pub endpoints: Vec<EndpointReport>,
    /// How often shared beginnings of prompts were asked for since the report before, most often first or in any order,
    /// each once. Counts and not totals: one that is lost is lost, and the heat list is a statistic.
    pub prefixes: Vec<PrefixCount>,
    /// Conversations whose newest turns went where their keys do not say, since the report before.
    pub moved: Vec<Moved>,
    /// What endpoints have begun to keep since the report before; sorted by key, unique.
    pub held: Vec<Moved>,
}

/// How often a shared beginning of prompts was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixCount {
    /// Keyed hash of the beginning.
    pub key: u64,
    /// Requests.
    pub count: u32,
}

/// One proxy's traffic on one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointReport {
    /// `ip:port`, as in the table.
    pub address: String,
    /// Requests sent and not ended, whose bodies have gone out.
    pub in_flight: u32,
    /// Uncached prompt tokens sent and not yet answered by a first body byte.
    pub pending_tokens: u32,
    /// Requests that these tokens belong to, also those whose bodies are still coming.
    pub pending: u32,
    /// Requests sent since the proxy's start.
    pub sent: u64,
    /// Uncached prompt tokens of those requests, as expected when they were sent.
    pub sent_tokens: u64,
    /// Requests that got a first body byte.
    pub started: u64,
    /// Requests that ended, in whatever way.
    pub finished: u64,
    /// Of those, ended by a reset, a timeout, a connect failure or a 5xx; of what was tried out, by anything but 2xx.
    pub failed: u64,
    /// Times and errors that were seen since the report before, by kind, ascending. Counts and not totals, as with
    /// [`Report::prefixes`]: totals would have to be kept by the reader for each proxy and endpoint.
    pub seen: Vec<Seen>,
}
