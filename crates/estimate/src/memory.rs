//! Queues in which requests wait for others to end: KV blocks or batch slots have run out, and not compute.

use crate::endpoint::Endpoint;
use crate::sample::Sample;

/// From this share of KV blocks in use on, requests that wait most likely wait for blocks.
const KV_TIGHT: f64 = 0.85;
/// Requests per second that end at a busy endpoint at least, and the longest such wait that is reckoned with.
const LEAST_ENDED_PER_S: f64 = 0.2;
const MOST_WAIT_S: f64 = 60.0;

/// Seconds that a queue takes which moves as requests end; 0 where requests wait for compute, or none waits.
pub(crate) fn queue_s(endpoint: &Endpoint, waiting: f64) -> f64 {
    let scraped = endpoint.sample.as_ref();
    if !scraped.is_some_and(|(_, sample)| waits_for_ends(sample, endpoint.batch_limit())) {
        return 0.0;
    }
    let ended_per_s = endpoint.work.ends.per_s().unwrap_or(0.0);
    (waiting / ended_per_s.max(LEAST_ENDED_PER_S)).min(MOST_WAIT_S)
}

fn waits_for_ends(sample: &Sample, batch_limit: Option<f64>) -> bool {
    let is_full = sample
        .running
        .zip(batch_limit)
        .is_some_and(|(running, limit)| running >= limit);
    sample.waiting > Some(0.0) && (is_full || sample.kv_used >= Some(KV_TIGHT))
}
