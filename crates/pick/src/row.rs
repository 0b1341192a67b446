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
    let mut worst = Worst::default();
    endpoints
        .iter()
        .for_each(|endpoint| worst.take_in(endpoint));
    let longest_wait = worst.wait_s.unwrap_or(0.0);
    let slowest_prefill = worst.prefill_tokens_per_s.unwrap_or(PREFILL_TOKENS_PER_S);
    let dearest_decode = worst.decode_s.unwrap_or(0.0);
    let slowest = worst.speed.unwrap_or(1.0);
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

/// The worst of each signal in the pool; absent: no endpoint has it.
#[derive(Debug, Default)]
struct Worst {
    wait_s: Option<f64>,
    prefill_tokens_per_s: Option<f64>,
    decode_s: Option<f64>,
    speed: Option<f64>,
}

impl Worst {
    fn take_in(&mut self, endpoint: &EndpointLoad) {
        let take = |worst: &mut Option<f64>, value: Option<f64>, pick: fn(f64, f64) -> f64| {
            *worst = match (*worst, value) {
                (Some(worst), Some(value)) => Some(pick(worst, value)),
                (worst, value) => worst.or(value),
            };
        };
        take(&mut self.wait_s, cost(endpoint.wait_s), f64::max);
        let prefill = speed(endpoint.prefill_tokens_per_s);
        take(&mut self.prefill_tokens_per_s, prefill, f64::min);
        let decode_s = cost(endpoint.decode_s_per_sequence);
        take(&mut self.decode_s, decode_s, f64::max);
        take(&mut self.speed, speed(endpoint.speed), f64::min);
    }
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
