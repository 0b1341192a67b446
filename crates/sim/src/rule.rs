//! The rules that a simulation can compare.

/// A rule of choice. Every rule but the central ones decides in each proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Central, without delay, with the true backlog and the true cache contents. The bound of
    /// comparisons. The oracle is greedy, so it is not a proven optimum.
    Oracle,
    /// The rule that ships.
    Trimtab,
    /// One endpoint after the other.
    RoundRobin,
    /// A random endpoint.
    Random,
    /// The less busy of two endpoints, by own requests in flight. This is Envoy's LEAST_REQUEST.
    LeastRequest,
    /// The shorter predicted wait of two random rows.
    PowerOfTwo,
    /// The scorers of the reference endpoint picker, in one central picker. It gets metrics every
    /// 50 ms, and hashes the blocks of each prompt ([`crate::Central`]).
    EppCentral,
    /// The same as `EppCentral`, and also counts what it has sent since its last metrics. This is
    /// an idealisation, stronger than the default.
    EppCentralInFlight,
    /// The scorers of the reference endpoint picker, applied to the table in each proxy.
    EppEach,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 9] = [
        Self::Oracle,
        Self::Trimtab,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequest,
        Self::PowerOfTwo,
        Self::EppCentral,
        Self::EppCentralInFlight,
        Self::EppEach,
    ];

    /// Returns the name in scenarios and reports, in lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Trimtab => "trimtab",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest => "least_request",
            Self::PowerOfTwo => "power_of_two",
            Self::EppCentral => "epp_central",
            Self::EppCentralInFlight => "epp_central_inflight",
            Self::EppEach => "epp_each",
        }
    }

    /// Returns the rule with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
}
