//! A scrape without a sample.

/// Why there was no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Nobody answered.
    Unreachable,
    /// The endpoint's server answered, and what it said was no metrics of a known engine.
    Unreadable,
    /// The endpoint's server answers, only not in time: its page is under way. Says nothing against the sample before, which ages.
    Late,
}
