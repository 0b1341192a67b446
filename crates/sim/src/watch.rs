//! Which answers a proxy asks about, as the filter does (`filter/src/pool/outcome_sampling.rs`): what it does not ask about tells it nothing of the endpoint.

use crate::clock::{Nanos, nanos};

/// One answer of so many is asked about while all is well.
const SAMPLE: u32 = 8;
/// How long all answers are asked about after one that went wrong.
const DOUBT_S: f64 = 10.0;

#[derive(Debug, Default)]
pub(crate) struct Watch {
    answers: u32,
    wrong_at: Option<Nanos>,
}

impl Watch {
    /// A request failed, or went elsewhere than it was sent.
    pub(crate) fn on_wrong(&mut self, now: Nanos) {
        self.wrong_at = Some(now);
    }

    /// Whether every answer is asked about now.
    pub(crate) fn doubts(&self, now: Nanos) -> bool {
        let wrong_at = self.wrong_at;
        wrong_at.is_some_and(|at| now.saturating_sub(at) < nanos(DOUBT_S))
    }

    /// Whether to ask about the answer that begins now. The first one is asked about.
    pub(crate) fn samples(&mut self, now: Nanos) -> bool {
        let sampled = self.answers.is_multiple_of(SAMPLE);
        self.answers = self.answers.wrapping_add(1);
        sampled || self.doubts(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_eight_is_asked_about_and_all_for_ten_seconds_after_one_that_went_wrong() {
        let mut watch = Watch::default();
        let asked =
            |watch: &mut Watch, at_s: f64| (0..80).filter(|_| watch.samples(nanos(at_s))).count();
        assert_eq!(asked(&mut watch, 0.0), 10);
        watch.on_wrong(nanos(1.0));
        assert_eq!((asked(&mut watch, 1.0), asked(&mut watch, 10.9)), (80, 80));
        assert_eq!(asked(&mut watch, 11.0), 10);
    }
}
