//! Prefill that is not over.

/// Prefill that was sent and has not shown a first byte. Whole microseconds, because sums of floats would drift when parts are taken out
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pending {
    /// Uncached tokens of prompts.
    pub(crate) tokens: u64,
    /// Time for those tokens whose answers are streamed: only there the first byte tells that prefill is over.
    pub(crate) prefill_us: u64,
}

impl Pending {
    pub(crate) fn add(&mut self, more: Self) {
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.prefill_us = self.prefill_us.saturating_add(more.prefill_us);
    }

    pub(crate) fn take_out(&mut self, part: Self) {
        self.tokens = self.tokens.saturating_sub(part.tokens);
        self.prefill_us = self.prefill_us.saturating_sub(part.prefill_us);
    }
}
