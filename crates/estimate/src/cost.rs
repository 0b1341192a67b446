//! The formulas of a row, in seconds, from docs/algorithm.md#wait and docs/algorithm.md#speed. All
//! arguments must be finite and not negative.

/// Weight of the decode term. The study found the same result from 0.2 to 0.8; 0 halves the
/// requests in SLO on shared prompts.
pub const DECODE_WEIGHT: f64 = 0.4;

/// Seconds of prefill that requests with these uncached tokens add: `u / R`.
#[must_use]
pub fn prefill_s(uncached_tokens: f64, prefill_tokens_per_s: f64) -> f64 {
    uncached_tokens / prefill_tokens_per_s.max(1.0)
}

/// Seconds of decode that one more sequence costs the others: `g = DECODE_WEIGHT * o * c`.
///
/// There is no constant part. With the whole decode time in the cost everybody would go to the fast
/// endpoints until they are as slow as the slow ones.
#[must_use]
pub fn decode_s(output_tokens: f64, itl_s_per_sequence: f64) -> f64 {
    DECODE_WEIGHT * output_tokens * itl_s_per_sequence
}

/// Mean seconds left of the prefill under way: `E[x^2] / (2 E[x]) / R`, the residual life of
/// renewal theory.
///
/// - `mean_tokens`: mean of uncached prompt tokens, `E[x]`.
/// - `mean_square`: mean of their squares. Absent: twice the squared mean, as for an exponential
///   distribution.
/// - `prefill_tokens_per_s`: prefill speed, `R`.
#[must_use]
pub fn residual_s(mean_tokens: f64, mean_square: Option<f64>, prefill_tokens_per_s: f64) -> f64 {
    if mean_tokens <= 0.0 {
        return 0.0;
    }
    let mean_square = mean_square.unwrap_or(2.0 * mean_tokens * mean_tokens);
    mean_square / (2.0 * mean_tokens) / prefill_tokens_per_s.max(1.0)
}
