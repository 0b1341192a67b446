//! A scrape without a sample.

/// Why there was no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// There was no answer.
    Unreachable,
    /// The endpoint's server answered, but without metrics of a known engine.
    Unreadable,
    /// The endpoint's server answers, but its page is late and still coming. The sample before
    /// stays valid, and ages.
    Late,
}
