//! The policies that are compared, one lane each.

/// The balancing policy of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Policy {
    /// The filter, and the aggregator that scrapes the lane's servers
    Trimtab,
    /// Envoy's LEAST_REQUEST
    LeastRequest,
    /// Envoy's ROUND_ROBIN
    RoundRobin,
}

impl Policy {
    /// All policies, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Trimtab, Self::LeastRequest, Self::RoundRobin];

    /// Returns the name of the policy's lane.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trimtab => "trimtab",
            Self::LeastRequest => "least_request",
            Self::RoundRobin => "round_robin",
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
