//! Prefill that is not over.

/// Prefill that was sent and has shown no first byte. Whole microseconds, because sums of floats
/// would drift when parts are subtracted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pending {
    /// Uncached prompt tokens.
    pub(crate) tokens: u64,
    /// Prefill time of those tokens whose answers are streamed, in microseconds. Only a streamed
    /// answer's first byte shows that prefill is over.
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
