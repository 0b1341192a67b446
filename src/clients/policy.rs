//! The balancing policies of the lanes.

/// The balancing policy of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Trimtab,
    LeastRequest,
}

/// Both lanes, in the order of the table.
pub(super) const POLICIES: [Policy; 2] = [Policy::Trimtab, Policy::LeastRequest];

impl Policy {
    /// Returns the name in tables, files and folders.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Trimtab => "trimtab",
            Self::LeastRequest => "LEAST_REQUEST",
        }
    }
}
