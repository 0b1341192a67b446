//! Whether to ask the proxy what became of a request.
//!
//! A question costs as much as the rest of an answer's way through the VM. Nearly always the answer
//! is "it went where it was sent, and it went well". So the filter asks about one answer in
//! [`SAMPLE`], and about all of them for [`DOUBT_MS`] after something went wrong. It always asks
//! about answers that end broken, or are too short for a completion (`request::response`).
//!
//! The error is bounded. Of requests that a retry moved, on average [`SAMPLE`] are booked at the
//! wrong endpoint before the first is noticed. From then on each is booked right: those in flight
//! with their next chunk, and all at their end.

use std::cell::Cell;

use trimtab_pick::Millis;

/// The filter asks about one answer in so many while nothing goes wrong.
const SAMPLE: u32 = 8;
/// How long the filter asks about all answers after an answer went wrong, in milliseconds. An
/// ejected or failing server stays so for seconds.
const DOUBT_MS: u64 = 10_000;

/// What this worker has seen go wrong within [`DOUBT_MS`].
#[derive(Debug, Default)]
pub(crate) struct OutcomeSampling {
    answers: Cell<u32>,
    wrong_at: Cell<Option<Millis>>,
}

impl OutcomeSampling {
    /// A request failed, or went elsewhere than it was sent.
    pub(crate) fn on_wrong(&self, now: Millis) {
        self.wrong_at.set(Some(now));
    }

    /// Whether to ask about every answer at this time.
    pub(crate) fn doubts(&self, now: Millis) -> bool {
        let Some(at) = self.wrong_at.get() else {
            return false;
        };
        // After the clock has stepped back, the doubt begins anew. Otherwise it would last for as
        // long as the step was.
        let at = at.min(now);
        let doubts = now.since(at) < DOUBT_MS;
        self.wrong_at.set(doubts.then_some(at));
        doubts
    }

    /// Whether to ask about the answer that begins now. The first one is asked about.
    pub(crate) fn samples(&self, now: Millis) -> bool {
        let answers = self.answers.get();
        self.answers.set(answers.wrapping_add(1));
        answers.is_multiple_of(SAMPLE) || self.doubts(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_eight_is_asked_about_and_all_for_ten_seconds_after_one_that_went_wrong() {
        let watch = OutcomeSampling::default();
        let asked = |now: u64| (0..80).filter(|_| watch.samples(Millis(now))).count();
        assert!(watch.samples(Millis(0)), "the first one");
        assert_eq!(asked(0), 10);
        watch.on_wrong(Millis(1_000));
        assert_eq!((asked(1_000), asked(10_999)), (80, 80));
        assert_eq!(asked(11_000), 10);
        assert!(!watch.doubts(Millis(1_500)), "it is over");
    }

    #[test]
    fn a_clock_that_steps_back_begins_the_doubt_anew() {
        let watch = OutcomeSampling::default();
        watch.on_wrong(Millis(1_000_000));
        assert!(watch.doubts(Millis(5)));
        assert!(!watch.doubts(Millis(5 + DOUBT_MS)));
    }
}
