//! How lanes balance.

/// How a lane balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Trimtab,
    LeastRequest,
}

/// Both lanes, in the order of the table.
pub(super) const POLICIES: [Policy; 2] = [Policy::Trimtab, Policy::LeastRequest];

impl Policy {
    /// Name in tables, files and folders.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Trimtab => "trimtab",
            Self::LeastRequest => "LEAST_REQUEST",
        }
    }
}
