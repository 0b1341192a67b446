//! The rules that can be compared.

/// A rule of choice, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Central, of zero age, with the true backlog and the true cache contents: the bound. Greedy, so not a proven optimum.
    Oracle,
    /// The rule that ships, in each proxy.
    Trimtab,
    /// Its simple version, in each proxy.
    P0,
    /// One after the other, in each proxy.
    RoundRobin,
    /// Independent of everything, in each proxy.
    Random,
    /// The less busy of two by own requests in flight, in each proxy: Envoy's LEAST_REQUEST.
    LeastRequest,
    /// The shortest predicted wait of two random rows, in each proxy.
    PowerOfTwo,
    /// The reference endpoint picker's scorers in one central picker, metrics every 50 ms, hashes of the prompts' own blocks
    /// ([`crate::Central`]).
    EppCentral,
    /// The same, which also counts what it has sent since its metrics: an idealisation, stronger than the default.
    EppCentralInFlight,
    /// The reference endpoint picker's scorers on the table, in each proxy.
    EppEach,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::Oracle,
        Self::Trimtab,
        Self::P0,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequest,
        Self::PowerOfTwo,
        Self::EppCentral,
        Self::EppCentralInFlight,
        Self::EppEach,
    ];

    /// The name in scenarios and reports, lower case with underscores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Trimtab => "trimtab",
            Self::P0 => "p0",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastRequest => "least_request",
            Self::PowerOfTwo => "power_of_two",
            Self::EppCentral => "epp_central",
            Self::EppCentralInFlight => "epp_central_inflight",
            Self::EppEach => "epp_each",
        }
    }

    /// The rule of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
}
