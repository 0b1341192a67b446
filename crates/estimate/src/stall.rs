//! Servers that hang: they accept requests, and their page stands still or says what it said before.
//!
//! A page whose counters do not move while somebody has requests there is no picture of an idle server. Some engines count only now and then,
//! so the longest rest of an endpoint that went on says how long it may be.

use std::time::Duration;

/// Rests of the counters that say nothing, beside the longest that was seen, in seconds: several steps of any engine.
const PATIENCE_S: f64 = 1.5;
/// The longest rest that is reckoned with, and how fast one is forgotten: by so much per second.
const MOST_REST_S: f64 = 10.0;
const FORGET_PER_S: f64 = 0.002;

/// When an endpoint was last seen to go on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stall {
    /// Something was counted, a proxy saw a first byte, or no proxy had anything there.
    moved_at: Duration,
    /// Seconds of the longest rest after which it went on.
    rest_s: f64,
}

impl Stall {
    /// Something happened there.
    pub(crate) fn on_progress(&mut self, now: Duration) {
        let rest_s = now.saturating_sub(self.moved_at).as_secs_f64();
        let before_s = (self.rest_s - FORGET_PER_S * rest_s).max(0.0);
        self.rest_s = before_s.max(rest_s).min(MOST_REST_S);
        self.moved_at = self.moved_at.max(now);
    }

    /// No proxy has anything there.
    pub(crate) fn on_idle(&mut self, now: Duration) {
        self.moved_at = self.moved_at.max(now);
    }

    /// Whether it has rested longer than it ever did before going on.
    pub(crate) fn is_stalled(&self, now: Duration) -> bool {
        let rest_s = now.saturating_sub(self.moved_at).as_secs_f64();
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
        (0..20).for_each(|at| stall.on_progress(ms(2_000 * at)));
        let last = 2_000 * 19;
        assert!(!stall.is_stalled(ms(last + 5_400)));
        assert!(stall.is_stalled(ms(last + 5_600)));
        let mut idle = Stall::default();
        idle.on_idle(ms(1_000_000));
        assert!(!idle.is_stalled(ms(1_001_400)));
    }
}
