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
    /// Seconds to the last token, ascending; requests that ended without all tokens count as infinite and stand at the end.
    pub e2e_s: Vec<f32>,
    /// Share of measured requests within the SLO, 0 to 1.
    pub slo_share: f64,
    /// Share of prompt tokens that were found in a cache, 0 to 1.
    pub hit_ratio: f64,
    /// Requests each endpoint got.
    pub per_endpoint: Vec<u64>,
    /// Requests of the whole run that went to an endpoint which the table that decided says is draining.
    pub after_drain: u64,
    /// How wrong the rule's predictions were.
    pub prediction: Prediction,
    /// Tables that left the aggregator, their mean size in bytes, and the reports that reached it, per second of the run.
    pub traffic: TrafficCounts,
}

/// By how much the time to the first token was another than the decision's: predicted wait + the uncached prompt at the prefill speed of the
/// endpoint's row + one empty step, against what the proxy saw. Over measured requests that got a first token where the decision
/// sent them. Absent: the rule predicts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prediction {
    /// Median of the differences in seconds, whatever their sign.
    pub missed_p50_s: Option<f64>,
    /// Nine of ten are at or below.
    pub missed_p90_s: Option<f64>,
    /// Median of the differences over what was seen; 1: as large as that.
    pub missed_share_p50: Option<f64>,
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
