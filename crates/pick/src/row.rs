//! An endpoint's signals with every gap filled.

use alloc::vec::Vec;

use crate::EndpointLoad;
use crate::config::PREFILL_TOKENS_PER_S;

/// One endpoint's signals with every gap filled to its disadvantage: an endpoint must never win because a signal is
/// missing. The worst of the pool rather than the median, because with the median a silent endpoint would beat half of
/// the others; it still gets what the others are too busy for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) wait_s: f64,
    /// Whether `wait_s` is this endpoint's own signal.
    pub(crate) wait_known: bool,
    pub(crate) prefill_s_per_token: f64,
    pub(crate) decode_s: f64,
    pub(crate) speed: f64,
}

/// The rows of a table.
pub(crate) fn rows(endpoints: &[EndpointLoad]) -> Vec<Row> {
    let longest_wait = worst(
        endpoints.iter().map(|endpoint| cost(endpoint.wait_s)),
        f64::max,
    )
    .unwrap_or(0.0);
    let slowest_prefill = worst(
        endpoints
            .iter()
            .map(|endpoint| speed(endpoint.prefill_tokens_per_s)),
        f64::min,
    );
    let slowest_prefill = slowest_prefill.unwrap_or(PREFILL_TOKENS_PER_S);
    let dearest_decode = worst(
        endpoints.iter().map(|e| cost(e.decode_s_per_sequence)),
        f64::max,
    )
    .unwrap_or(0.0);
    let slowest = worst(
        endpoints.iter().map(|endpoint| speed(endpoint.speed)),
        f64::min,
    )
    .unwrap_or(1.0);
    let row = |endpoint: &EndpointLoad| {
        let wait = cost(endpoint.wait_s);
        Row {
            wait_s: wait.unwrap_or(longest_wait),
            wait_known: wait.is_some(),
            prefill_s_per_token: 1.0
                / speed(endpoint.prefill_tokens_per_s).unwrap_or(slowest_prefill),
            decode_s: cost(endpoint.decode_s_per_sequence).unwrap_or(dearest_decode),
            speed: speed(endpoint.speed).unwrap_or(slowest),
        }
    };
    endpoints.iter().map(row).collect()
}

fn worst(values: impl Iterator<Item = Option<f64>>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    values.flatten().reduce(pick)
}

/// A usable cost: finite and not negative. A day is as bad as any larger value.
pub(crate) fn cost(value: Option<f32>) -> Option<f64> {
    value
        .map(f64::from)
        .filter(|value| value.is_finite() && *value >= 0.0)
        .map(|value| value.min(86_400.0))
}

/// A usable speed: finite and above zero. The bounds keep sums and quotients finite.
fn speed(value: Option<f32>) -> Option<f64> {
    value
        .map(f64::from)
        .filter(|value| value.is_finite() && *value > 0.0)
        .map(|value| value.clamp(1e-6, 1e9))
}
