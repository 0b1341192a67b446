//! Collects the work of the next step and computes its duration.

use crate::Profile;

/// What a step computes and how long it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPlan {
    /// Time from begin to finish, in seconds. More than 0.
    pub duration_s: f64,
    /// Tokens prefilled.
    pub prefill_tokens: u32,
    /// Sequences that decode. Each gets one token.
    pub decode_sequences: u32,
    /// Context tokens of the decoding sequences, added up.
    pub context_tokens: u64,
    /// Adapters that are loaded before the step runs.
    pub adapter_loads: u32,
}

/// The work collected so far for the next step.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) budget_tokens: u32,
    pub(super) prefill_tokens: u32,
    /// Prefilled tokens, each weighted by the cost of its position.
    pub(super) weighted_prefill: f64,
    pub(super) decode_sequences: u32,
    pub(super) context_tokens: u64,
    pub(super) adapter_loads: u32,
}

impl Batch {
    pub(super) fn add_prefill(&mut self, start: u32, tokens: u32, profile: &Profile) {
        let middle = f64::from(start) + f64::from(tokens) / 2.0;
        self.prefill_tokens += tokens;
        self.weighted_prefill += f64::from(tokens) * (1.0 + middle / profile.attention_half_tokens);
    }

    pub(super) fn plan(&self, profile: &Profile) -> StepPlan {
        let duration_s = profile.step_base_s
            + profile.prefill_s_per_token * self.weighted_prefill
            + profile.decode_s_per_sequence * f64::from(self.decode_sequences)
            + profile.context_s_per_token * self.context_tokens as f64
            + profile.adapter_load_s * f64::from(self.adapter_loads);
        StepPlan {
            duration_s: duration_s / profile.speed,
            prefill_tokens: self.prefill_tokens,
            decode_sequences: self.decode_sequences,
            context_tokens: self.context_tokens,
            adapter_loads: self.adapter_loads,
        }
    }
}
