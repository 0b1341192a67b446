//! Decides for which answers a worker records the outcome, as the filter does
//! (`filter/src/pool/outcome_sampling.rs`). From other answers the worker learns nothing about the
//! endpoint.

use crate::clock::{Nanos, nanos};

/// While all goes well, one answer in this many is sampled.
const SAMPLE: u32 = 8;
/// Seconds after a failure in which all answers are sampled.
const DOUBT_S: f64 = 10.0;

#[derive(Debug, Default)]
pub(crate) struct Watch {
    answers: u32,
    wrong_at: Option<Nanos>,
}

impl Watch {
    /// Records that a request failed, or went elsewhere than it was sent.
    pub(crate) fn on_wrong(&mut self, now: Nanos) {
        self.wrong_at = Some(now);
    }

    /// Returns whether every answer is sampled at this time.
    pub(crate) fn doubts(&self, now: Nanos) -> bool {
        let wrong_at = self.wrong_at;
        wrong_at.is_some_and(|at| now.saturating_sub(at) < nanos(DOUBT_S))
    }

    /// Returns whether to sample the answer that begins. The first one is sampled.
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
