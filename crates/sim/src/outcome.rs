//! What a run gave.

use crate::Rule;

/// One run: one scenario, rule, load and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Name of the scenario.
    pub scenario: String,
    /// The rule that chose.
    pub rule: Rule,
    /// Seed of workload and decisions.
    pub seed: u64,
    /// Deciders.
    pub deciders: u32,
    /// Offered share of capacity.
    pub load: f64,
    /// Requests that arrived in the measured time.
    pub requests: u64,
    /// Of those, ended without all tokens: endpoint killed, or not done when the run was cut.
    pub failed: u64,
    /// Seconds to the first token, ascending; requests without one count as infinite and stand at the end.
    pub ttft_s: Vec<f32>,
    /// Seconds per output token after the first, of requests with more than one, ascending.
    pub tpot_s: Vec<f32>,
    /// Share of measured requests within the SLO, 0 to 1.
    pub slo_share: f64,
    /// Share of prompt tokens that were found in a cache, 0 to 1.
    pub hit_ratio: f64,
    /// Requests each endpoint got.
    pub per_endpoint: Vec<u64>,
    /// Tables that left the aggregator, their mean size in bytes, and the reports that reached it, per second of the run.
    pub traffic: TrafficCounts,
}

/// What passed between aggregator and proxies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TrafficCounts {
    /// Tables published per second.
    pub tables_per_s: f64,
    /// Bytes of a table, mean.
    pub table_bytes: f64,
    /// Reports taken in per second.
    pub reports_per_s: f64,
    /// Age in seconds of the table that decisions were made with, mean.
    pub table_age_s: f64,
}

/// The value below which `share` (0 to 1) of `sorted` lie, by nearest rank; absent of nothing.
#[must_use]
pub fn percentile(sorted: &[f32], share: f64) -> Option<f64> {
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().map(f64::from)
}
