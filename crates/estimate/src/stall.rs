//! Recognises servers that hang: they accept requests, but their counters stand still.
//!
//! Counters that stand still while requests are there do not show an idle server. Some engines
//! count only now and then. So the longest rest after which an endpoint went on says how long a
//! rest may be.

use std::time::Duration;

/// A rest of the counters may exceed twice the longest one seen by this many seconds: several steps
/// of any engine.
const PATIENCE_S: f64 = 1.5;
/// Seconds of the longest rest that counts.
const MOST_REST_S: f64 = 10.0;
/// Seconds by which the longest rest shrinks per second.
const FORGET_PER_S: f64 = 0.002;

/// When an endpoint last went on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stall {
    /// When a counter last rose, a proxy saw a first byte, or no proxy had a request there.
    moved_at: Duration,
    /// When a counter last rose, or a proxy saw a first byte.
    counted_at: Duration,
    /// Seconds of the longest rest after which the endpoint went on.
    rest_s: f64,
    /// A proxy had a request there at the last look.
    busy: bool,
    /// The endpoint stalled, and all requests have left since.
    left: bool,
}

impl Stall {
    /// Makes the state of a server of which nothing is known.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            moved_at: now,
            counted_at: now,
            ..Self::default()
        }
    }

    /// Notes that a counter rose, or that a proxy saw a first byte.
    pub(crate) fn on_progress(&mut self, now: Duration) {
        let rest_s = now.saturating_sub(self.moved_at).as_secs_f64();
        let before_s = (self.rest_s - FORGET_PER_S * rest_s).max(0.0);
        self.rest_s = match self.left {
            // The endpoint was not resting all the time: it had no requests.
            true => before_s,
            false => before_s.max(rest_s).min(MOST_REST_S),
        };
        self.left = false;
        self.moved_at = self.moved_at.max(now);
        self.counted_at = self.counted_at.max(now);
    }

    /// Notes that a proxy has a request there.
    pub(crate) fn on_busy(&mut self, now: Duration) {
        if !self.busy && !self.left {
            // It is not known since when the request is there, even if the last look is long ago.
            self.moved_at = self.moved_at.max(now);
        }
        self.busy = true;
    }

    /// Notes that no proxy has a request there. An endpoint that stalled before stays so until it
    /// goes on.
    pub(crate) fn on_idle(&mut self, now: Duration) {
        if self.is_stalled(now) {
            self.left = true;
        } else {
            self.moved_at = self.moved_at.max(now);
        }
        self.busy = false;
    }

    /// Whether the counters have rested too long, with requests there or since all have left.
    pub(crate) fn is_stalled(&self, now: Duration) -> bool {
        (self.busy || self.left) && self.is_long(now, self.moved_at)
    }

    /// Whether the counters have rested too long, with or without requests there.
    pub(crate) fn rests(&self, now: Duration) -> bool {
        self.is_long(now, self.counted_at)
    }

    fn is_long(&self, now: Duration, since: Duration) -> bool {
        let rest_s = now.saturating_sub(since).as_secs_f64();
        rest_s > PATIENCE_S + 2.0 * self.rest_s
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

    #[test]
    fn a_server_that_steps_is_known_to_hang_within_two_seconds() {
        let mut stall = Stall::default();
        stall.on_busy(ms(0));
        for at in 0..100 {
            stall.on_progress(ms(200 * at));
            assert!(!stall.is_stalled(ms(200 * at + 199)));
        }
        let last = 200 * 99;
        assert!(!stall.is_stalled(ms(last + 1_800)));
        assert!(stall.is_stalled(ms(last + 2_000)));
        stall.on_progress(ms(last + 3_000));
        assert!(!stall.is_stalled(ms(last + 3_000)), "it went on");
    }

    #[test]
    fn one_that_counts_every_two_seconds_is_given_more_time_and_an_idle_one_all_it_wants() {
        let mut stall = Stall::default();
        stall.on_busy(ms(0));
        (0..20).for_each(|at| stall.on_progress(ms(2_000 * at)));
        let last = 2_000 * 19;
        assert!(!stall.is_stalled(ms(last + 5_400)));
        assert!(stall.is_stalled(ms(last + 5_600)));
        let mut idle = Stall::default();
        (0..1_000).for_each(|at| idle.on_idle(ms(1_000 * at)));
        assert!(!idle.is_stalled(ms(1_000_400)));
        assert!(idle.rests(ms(2_000)), "nothing was counted");
    }

    #[test]
    fn one_that_hung_hangs_until_it_goes_on_also_when_everybody_has_left() {
        let mut stall = Stall::new(ms(0));
        stall.on_busy(ms(0));
        stall.on_idle(ms(1_600));
        assert!(stall.is_stalled(ms(1_700)));
        (2..60).for_each(|at| stall.on_idle(ms(1_000 * at)));
        assert!(stall.is_stalled(ms(60_000)));
        stall.on_progress(ms(60_000));
        assert!(!stall.is_stalled(ms(61_600)), "nobody waits there");
        stall.on_busy(ms(61_600));
        assert!(!stall.is_stalled(ms(63_000)));
        assert!(stall.is_stalled(ms(63_200)), "a minute is no rest of it");
    }

    #[test]
    fn nobody_hangs_because_it_was_not_looked_at_for_long() {
        let mut stall = Stall::new(ms(0));
        // The first table comes late, and each further one after 10 s.
        (0..6).for_each(|at| stall.on_idle(ms(3_000 + 10_000 * at)));
        assert!(!stall.is_stalled(ms(60_000)));
        stall.on_busy(ms(63_000));
        assert!(!stall.is_stalled(ms(64_400)));
        assert!(stall.is_stalled(ms(64_600)));
    }
}
