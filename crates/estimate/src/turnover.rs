//! How soon running requests end and give back their slots and blocks.
//!
//! Ends per second do not show that: requests that began together end together. A server with four
//! slots and answers of seven seconds shows four ends at one moment, then none for seven seconds.
//! By Little's law a request runs for the running requests summed over time, divided by the
//! requests that ended. Both are counted over the same ends, whenever these come.
//!
//! Rejected: generated tokens over ends, times the current gap between tokens. That gap follows how
//! many requests run, and between two bursts few do.

use crate::interval::Interval;

/// Over about how many ends means are taken.
const MEMORY_ENDS: f64 = 16.0;
/// Until so many ends were seen, a mean answer's tokens times the gap between tokens count as one
/// end.
const ENOUGH_ENDS: f64 = 4.0;
/// Time constant of the gap between tokens, in seconds.
const GAP_TAU_S: f64 = 2.0;
/// An overdue group of ends is still expected to take this share of the time between groups.
const LATE: f64 = 0.1;
/// The least time that a request runs, in seconds. No engine is faster, and rates stay finite.
const LEAST_S: f64 = 1e-3;

/// Decayed totals of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turnover {
    /// Running requests times seconds, up to the last end.
    running_s: f64,
    ends: f64,
    /// The ends of the newest group, which may not be complete. A group comes together, much closer
    /// than single ends would.
    lump: f64,
    /// Of the groups before: the sum of their ends, and the sum of their squares.
    lump_ends: f64,
    lump_squares: f64,
    /// Since the last end: running requests times seconds, the requests that run, and seconds.
    open_running_s: f64,
    open_running: f64,
    open_s: f64,
    /// Mean seconds between tokens. Absent: the server does not report them.
    gap_s: Option<f64>,
}

impl Turnover {
    pub(crate) fn add(&mut self, interval: &Interval) {
        self.see_gap(interval);
        let ended = interval.finished.or(interval.prefilled);
        let Some((running, ended)) = interval.running.zip(ended) else {
            return;
        };
        self.open_running = running;
        self.open_running_s += running * interval.seconds;
        // An idle server's next batch begins later.
        self.open_s = if running > 0.0 {
            self.open_s + interval.seconds
        } else {
            0.0
        };
        if ended > 0.0 {
            self.see_lump(ended);
            let keep = libm::exp(-ended / MEMORY_ENDS);
            self.running_s = self.running_s * keep + core::mem::take(&mut self.open_running_s);
            self.ends = self.ends * keep + ended;
            self.open_s = 0.0;
        }
    }

    fn see_lump(&mut self, ended: f64) {
        // By Little's law one end comes per this many running requests times seconds.
        let one_by_one_s = self.running_s / self.ends.max(1.0);
        if self.open_running_s > 0.5 * one_by_one_s {
            let lump = core::mem::take(&mut self.lump);
            let keep = libm::exp(-lump / MEMORY_ENDS);
            self.lump_ends = self.lump_ends * keep + lump;
            self.lump_squares = self.lump_squares * keep + lump * lump;
        }
        self.lump += ended;
    }

    fn see_gap(&mut self, interval: &Interval) {
        let Some(itl) = interval
            .itl_s
            .filter(|itl| itl.count >= 1.0 && itl.sum > 0.0)
        else {
            return;
        };
        let gap_s = itl.sum / itl.count;
        let keep = libm::exp(-interval.seconds / GAP_TAU_S);
        self.gap_s = Some(
            self.gap_s
                .map_or(gap_s, |old| old * keep + gap_s * (1.0 - keep)),
        );
    }

    /// Returns the seconds that a request runs. `None`: nothing shows it.
    ///
    /// - `output_tokens`: of a mean answer, used until enough ends were seen.
    fn runs_for_s(&self, output_tokens: f64) -> Option<f64> {
        let assumed_s = self.gap_s.filter(|_| self.ends < ENOUGH_ENDS);
        let (assumed_s, one) = assumed_s.map_or((0.0, 0.0), |gap_s| (gap_s * output_tokens, 1.0));
        let (running_s, ends) = (self.running_s + assumed_s, self.ends + one);
        // Requests that run may be longer than all before. They have taken this long already.
        let so_far_s = (running_s + self.open_running_s) / (ends + self.open_running);
        (ends > 0.0).then(|| (running_s / ends).max(so_far_s).max(LEAST_S))
    }

    /// Returns the requests that end per second while `running` run. For an idle endpoint: while
    /// one runs. Above 0.
    pub(crate) fn ends_per_s(&self, running: f64, output_tokens: f64) -> Option<f64> {
        Some(running.max(1.0) / self.runs_for_s(output_tokens)?)
    }

    /// Returns the seconds until `ends` requests have ended, at this rate. They end in groups as
    /// large as those before, and the last group ended `open_s` ago.
    pub(crate) fn until_s(&self, ends: f64, ends_per_s: f64) -> f64 {
        if ends <= 0.0 {
            return 0.0;
        }
        let lump = (self.lump_squares / self.lump_ends.max(1.0)).max(1.0);
        let after_next = (libm::ceil(ends / lump - 1e-9) - 1.0).max(0.0) * lump;
        let next_s = lump / ends_per_s;
        // An overdue group may end at any time.
        after_next / ends_per_s + (next_s - self.open_s).max(next_s * LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Counters, Sample, SumCount};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// What a server shows five times a second whose `running` requests begin together, and end
    /// together after seven seconds and 200 tokens.
    fn lumps(running: f64, seconds: u32) -> Vec<Interval> {
        let sample = |scrape: u32| {
            let at_s = f64::from(scrape) / 5.0;
            let tokens = running * at_s * 200.0 / 7.0;
            Sample {
                waiting: Some(20.0),
                running: Some(running),
                counters: Counters {
                    finished: Some(running * (at_s / 7.0).floor()),
                    itl_s: Some(SumCount {
                        sum: tokens * 0.035,
                        count: tokens,
                    }),
                    ..Counters::default()
                },
                ..Sample::default()
            }
        };
        let interval = |scrape| Interval::between(&sample(scrape), &sample(scrape + 1), 0.2);
        (0..5 * seconds)
            .map(|scrape| interval(scrape).unwrap())
            .collect()
    }

    #[test]
    fn the_time_that_a_request_runs_is_known_whether_ends_are_spread_or_come_together() {
        for running in [1.0, 4.0, 64.0] {
            let mut turnover = Turnover::default();
            for (number, interval) in lumps(running, 60).iter().enumerate() {
                turnover.add(interval);
                let per_s = turnover.ends_per_s(running, 200.0).unwrap();
                let error = per_s / (running / 7.0);
                assert!((0.75..1.05).contains(&error), "{number}: {error}");
            }
            // A batch has just begun: all of it ends in seven seconds, and the next batch in
            // fourteen.
            let per_s = turnover.ends_per_s(running, 200.0).unwrap();
            for (ends, expected_s) in [
                (0.0, 0.0),
                (1.0, 7.0),
                (running, 7.0),
                (running + 1.0, 14.0),
            ] {
                let until_s = turnover.until_s(ends, per_s) + turnover.open_s;
                assert!(
                    ends == 0.0 || (0.9..1.3).contains(&(until_s / expected_s)),
                    "{ends}: {until_s}"
                );
            }
        }
    }

    #[test]
    fn who_runs_longer_than_all_before_is_seen_before_any_ends() {
        let mut turnover = Turnover::default();
        for interval in &lumps(4.0, 60) {
            turnover.add(interval);
        }
        let quiet = Interval {
            finished: Some(0.0),
            ..lumps(4.0, 1)[0]
        };
        for _ in 0..5 * 200 {
            turnover.add(&quiet);
        }
        let per_s = turnover.ends_per_s(4.0, 200.0).unwrap();
        assert!(per_s < 0.3 * 4.0 / 7.0, "{per_s}");
    }

    #[test]
    fn nothing_is_known_of_who_says_nothing() {
        let mut turnover = Turnover::default();
        assert_eq!(turnover.ends_per_s(4.0, 200.0), None);
        let silent = Interval::between(&Sample::default(), &Sample::default(), 0.2).unwrap();
        turnover.add(&silent);
        assert_eq!(turnover.ends_per_s(4.0, 200.0), None);
    }
}
