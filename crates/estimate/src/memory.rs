//! The wait in queues where requests wait for others to end, because KV blocks or batch slots have
//! run out.

use crate::endpoint::Endpoint;

/// From this share of KV blocks in use on, queued requests most likely wait for blocks.
const KV_TIGHT: f64 = 0.85;
/// Requests that end per second at a busy endpoint whose turnover is not known.
const UNKNOWN_ENDS_PER_S: f64 = 0.2;
/// The longest wait that is predicted, in seconds.
const MOST_WAIT_S: f64 = 60.0;

/// Returns the seconds until a request that comes now could start, in a queue that moves as
/// requests end. 0 where requests wait for compute, or none waits.
///
/// - `waiting`, `running`: requests at the endpoint now.
/// - `output_tokens`: of a mean answer.
pub(crate) fn queue_s(
    endpoint: &Endpoint,
    (waiting, running): (f64, f64),
    output_tokens: f64,
) -> f64 {
    let turnover = &endpoint.turnover;
    let until_s = |ends, running| {
        let known = turnover.ends_per_s(running, output_tokens);
        turnover.until_s(ends, known.unwrap_or(UNKNOWN_ENDS_PER_S))
    };
    let for_slot_s = endpoint
        .batch_limit()
        .map_or(0.0, |limit| until_s(waiting + 1.0 + running - limit, limit));
    let sample = endpoint.sample.as_ref().map(|(_, sample)| sample);
    let is_tight =
        sample.is_some_and(|sample| sample.waiting > Some(0.0) && sample.kv_used >= Some(KV_TIGHT));
    let for_blocks_s = if is_tight {
        until_s(waiting, running)
    } else {
        0.0
    };
    for_slot_s.max(for_blocks_s).min(MOST_WAIT_S)
}
