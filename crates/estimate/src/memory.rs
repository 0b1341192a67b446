//! KV blocks as what an endpoint runs out of.

use crate::endpoint::Endpoint;

/// From this share of KV blocks in use on, requests that wait most likely wait for blocks.
const KV_TIGHT: f64 = 0.85;
/// Requests per second that end at a busy endpoint at least, and the longest wait for blocks that is reckoned with.
const LEAST_ENDED_PER_S: f64 = 0.2;
const MAX_MEMORY_S: f64 = 60.0;
/// Share of KV blocks in use at which an endpoint counts as busy as the average one. Beyond, a long prompt may not fit: simulated
/// (a quarter of the endpoints with small caches, long answers) p99 TTFT 0.93, 0.98, 2.2 and 4.5 s with 0.5, 0.6, 0.7 and 0.8,
/// 48 s without it.
const KV_COMFORT: f64 = 0.6;

/// Seconds that a queue takes where requests wait for KV blocks and not for compute: it moves as requests end.
pub(crate) fn queue_s(endpoint: &Endpoint, waiting: f64) -> f64 {
    let tight = endpoint
        .sample
        .as_ref()
        .is_some_and(|(_, sample)| sample.waiting > Some(0.0) && sample.kv_used >= Some(KV_TIGHT));
    // In a queue that neither grows nor shrinks for long as many end as arrive.
    let ended_per_s = endpoint.work.arrivals.per_s().unwrap_or(0.0);
    match tight {
        true => (waiting / ended_per_s.max(LEAST_ENDED_PER_S)).min(MAX_MEMORY_S),
        false => 0.0,
    }
}

/// What the blocks in use are worth in seconds, on the scale of what running requests cost each other. `average_s`: the latter, of
/// the average endpoint of the pool; `uncached_tokens`: of a mean request.
///
/// Where blocks run out before compute does, few requests run: by these alone the endpoint looks idle until a queue is seen, which
/// then takes seconds, and all send there again as soon as it is gone.
pub(crate) fn held_s(endpoint: &Endpoint, average_s: f64, uncached_tokens: f64) -> f64 {
    let Some((_, sample)) = &endpoint.sample else {
        return 0.0;
    };
    let Some(used) = sample.kv_used else {
        return 0.0;
    };
    let blocks = sample.kv_blocks.zip(sample.kv_block_tokens);
    let arrived = match (endpoint.forwarded(), endpoint.in_engine()) {
        ((Some(waiting), Some(running)), Some(scraped)) => waiting + running - scraped,
        _ => 0.0,
    };
    let taken = blocks.map_or(0.0, |(blocks, tokens)| {
        arrived * uncached_tokens / (blocks * tokens).max(1.0)
    });
    average_s * (used + taken).clamp(0.0, 1.0) / KV_COMFORT
}
