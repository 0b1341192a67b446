//! What is in flight.

/// What proxies have in flight at one endpoint. Whole numbers, so that what is added can be taken
/// out again exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flight {
    pub(crate) requests: u64,
    /// Requests without a first byte, and their uncached prompt tokens.
    pub(crate) pending: u64,
    pub(crate) pending_tokens: u64,
}

impl Flight {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.pending = self.pending.saturating_add(other.pending);
        self.pending_tokens = self.pending_tokens.saturating_add(other.pending_tokens);
    }

    pub(crate) fn take(&mut self, other: Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.pending = self.pending.saturating_sub(other.pending);
        self.pending_tokens = self.pending_tokens.saturating_sub(other.pending_tokens);
    }
}
