//! The results of a run.

use crate::Rule;

/// The result of one run: one scenario, rule, load and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Name of the scenario.
    pub scenario: String,
    /// The rule that chose.
    pub rule: Rule,
    /// Seed of the workload and of the decisions.
    pub seed: u64,
    /// Number of deciders: the workers of all proxies.
    pub deciders: u32,
    /// Offered load, as a share of capacity.
    pub load: f64,
    /// Requests that arrived in the measured time.
    pub requests: u64,
    /// Requests among `requests` that ended without all tokens: their endpoint was killed, or they
    /// had not ended when the run stopped.
    pub failed: u64,
    /// Seconds to the first token, ascending. A request without a first token counts as infinite,
    /// at the end.
    pub ttft_s: Vec<f32>,
    /// Seconds per output token after the first, ascending. Only of requests with more than one
    /// token.
    pub tpot_s: Vec<f32>,
    /// Seconds to the last token, ascending. A request that ended without all tokens counts as
    /// infinite, at the end.
    pub e2e_s: Vec<f32>,
    /// Share of measured requests within the SLO, 0 to 1.
    pub slo_share: f64,
    /// Share of prompt tokens found in a cache, 0 to 1.
    pub hit_ratio: f64,
    /// Number of requests that each endpoint got.
    pub per_endpoint: Vec<u64>,
    /// Requests of the whole run that went to an endpoint that is draining by the table that
    /// decided.
    pub after_drain: u64,
    /// Errors of the rule's predictions.
    pub prediction: Prediction,
    /// What passed between aggregator and proxies.
    pub traffic: TrafficCounts,
}

/// How far predictions of the time to first token were off.
///
/// The prediction is the predicted wait, plus the uncached prompt at the prefill speed of the
/// endpoint's row, plus one empty step. It is compared with what the proxy saw. Only measured
/// requests count that got a first token at the endpoint of the decision. A field is `None` where
/// the rule predicts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prediction {
    /// Median of the absolute differences in seconds.
    pub missed_p50_s: Option<f64>,
    /// 90th percentile of the absolute differences in seconds.
    pub missed_p90_s: Option<f64>,
    /// Median of the absolute differences divided by the seen time. 1 means as large as the seen
    /// time.
    pub missed_share_p50: Option<f64>,
}

/// What passed between aggregator and proxies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TrafficCounts {
    /// Tables published per second.
    pub tables_per_s: f64,
    /// Mean bytes of a table.
    pub table_bytes: f64,
    /// Reports that the aggregator received per second.
    pub reports_per_s: f64,
    /// Mean age in seconds of the tables that decisions used.
    pub table_age_s: f64,
}

/// Returns the value below which `share` (0 to 1) of `sorted` lie, by nearest rank. Returns `None`
/// for an empty slice.
#[must_use]
pub fn percentile(sorted: &[f32], share: f64) -> Option<f64> {
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().map(f64::from)
}
