//! Whether an endpoint answers well, as proxies saw it. For an endpoint without a readable page
//! this is the only sign.

use std::time::Duration;

/// How many answers are remembered. Beyond that all counts are scaled down to half of it.
const MOST: f64 = 64.0;
/// An answer that has gone on for this long is going well: an error's first byte and its end come
/// together.
const GOES_WELL: Duration = Duration::from_millis(500);

/// What one report adds to the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) sent: u64,
    pub(crate) started: u64,
    pub(crate) finished: u64,
    /// How many of `finished` failed.
    pub(crate) failed: u64,
}

/// What proxies saw of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Service {
    finished: f64,
    failed: f64,
    /// When a request last ended well.
    well_at: Option<Duration>,
    /// When an answer began that has not ended. Absent: none is known, or some answer has ended
    /// since.
    began_at: Option<Duration>,
    /// When a request was last sent there.
    pub(crate) sent_at: Option<Duration>,
}

impl Service {
    /// Takes in what a report says of requests.
    pub(crate) fn on_report(&mut self, now: Duration, answers: &Answers) {
        if answers.sent > 0 {
            self.sent_at = Some(now);
        }
        if answers.finished > 0 {
            let failed = answers.failed.min(answers.finished);
            if failed < answers.finished {
                self.well_at = Some(now);
            }
            self.add(answers.finished as f64, failed as f64);
            self.began_at = None;
        } else if answers.started > 0 {
            self.began_at = self.began_at.or(Some(now));
        }
    }

    fn add(&mut self, finished: f64, failed: f64) {
        self.finished += finished;
        self.failed += failed;
        if self.finished > MOST {
            let share = MOST / 2.0 / self.finished;
            self.finished *= share;
            self.failed *= share;
        }
    }

    /// Returns when the endpoint last served well. `None`: it never did, or most of its answers are
    /// errors.
    pub(crate) fn served_at(&self, now: Duration) -> Option<Duration> {
        let goes_on = self
            .began_at
            .filter(|at| now.saturating_sub(*at) >= GOES_WELL)
            .map(|at| at + GOES_WELL);
        let well_at = self.well_at.max(goes_on);
        well_at.filter(|_| 2.0 * self.failed <= self.finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn ended(finished: u64, failed: u64) -> Answers {
        Answers {
            sent: finished,
            started: finished,
            finished,
            failed,
        }
    }

    const BEGAN: Answers = Answers {
        sent: 1,
        started: 1,
        finished: 0,
        failed: 0,
    };

    #[test]
    fn an_answer_that_ended_well_shows_that_it_serves_and_an_error_does_not() {
        let mut service = Service::default();
        assert_eq!(service.served_at(ms(0)), None);
        service.on_report(ms(10), &ended(1, 1));
        assert_eq!(service.served_at(ms(10)), None);
        service.on_report(ms(20), &ended(1, 0));
        assert_eq!(
            service.served_at(ms(900)),
            Some(ms(20)),
            "one of two failed"
        );
        service.on_report(ms(30), &ended(1, 1));
        assert_eq!(service.served_at(ms(900)), None, "two of three failed");
    }

    #[test]
    fn an_answer_that_goes_on_counts_when_it_would_have_failed_by_now() {
        let mut service = Service::default();
        service.on_report(ms(10), &BEGAN);
        assert_eq!(service.served_at(ms(500)), None);
        assert_eq!(service.served_at(ms(510)), Some(ms(510)));
        service.on_report(ms(520), &ended(1, 1));
        assert_eq!(service.served_at(ms(2_000)), None, "it was an error");
    }

    #[test]
    fn errors_of_long_ago_fade() {
        let mut service = Service::default();
        (0..40).for_each(|at| service.on_report(ms(at), &ended(1, 1)));
        (0..60).for_each(|at| service.on_report(ms(100 + at), &ended(1, 0)));
        assert_eq!(service.served_at(ms(300)), Some(ms(159)));
    }
}
