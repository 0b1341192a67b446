//! The formulas of a row, in seconds. Source: docs/algorithm.md#wait and docs/algorithm.md#speed. All arguments are finite and not negative.

/// Weight of the decode term (`eta`): 0.2 to 0.8 measured alike, 0 loses half of the SLO on shared prompts.
pub const DECODE_WEIGHT: f64 = 0.4;

/// Seconds of prefill that an average request adds: `s_pre = p_bar / R_p`.
#[must_use]
pub fn prefill_s(uncached_tokens: f64, prefill_tokens_per_s: f64) -> f64 {
    uncached_tokens / prefill_tokens_per_s.max(1.0)
}

/// Seconds of decode that one more sequence costs the others: `g = eta * O_bar * c_d`.
///
/// There is no constant part on purpose: with the whole decode time in the cost everybody goes to the fast endpoints until
/// they are as slow as the slow ones.
#[must_use]
pub fn decode_s(output_tokens: f64, itl_s_per_sequence: f64) -> f64 {
    DECODE_WEIGHT * output_tokens * itl_s_per_sequence
}

/// Mean remaining prefill of an endpoint that is busy with one: `E[S^2] / (2 E[S]) / R_p`, the residual life of renewal theory.
/// `mean_square`: of uncached prompt tokens; absent: twice the squared mean, as for an exponential distribution.
#[must_use]
pub fn residual_s(mean_tokens: f64, mean_square: Option<f64>, prefill_tokens_per_s: f64) -> f64 {
    if mean_tokens <= 0.0 {
        return 0.0;
    }
    let mean_square = mean_square.unwrap_or(2.0 * mean_tokens * mean_tokens);
    mean_square / (2.0 * mean_tokens) / prefill_tokens_per_s.max(1.0)
}
