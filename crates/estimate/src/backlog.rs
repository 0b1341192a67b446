//! Prefill that proxies have sent to an endpoint and that is not done, between reports and scrapes.

use std::time::Duration;

/// Prompt tokens ahead of a new request. Reports add tokens, and time removes them at the
/// endpoint's prefill speed.
///
/// Scrapes show how many requests wait, not how long they are. A long prompt in prefill looks like
/// an idle endpoint. Proxies know what they sent. What they still wait for is the most that can be
/// left, and the speed tells how much of it is done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backlog {
    tokens: f64,
    at: Duration,
    /// Tokens per second.
    rate: f64,
    /// When a request last got its first byte, or when none was pending.
    progress_at: Duration,
    /// Pending tokens at the first look since then. The prompt in prefill is among them. Absent:
    /// not looked at yet.
    pending_then: Option<f64>,
}

/// A queue counts as stuck if it is later than twice what its tokens take by more than this, in
/// seconds.
const STUCK_AFTER_S: f64 = 0.5;

impl Backlog {
    /// Moves the backlog to `now`.
    ///
    /// - `tokens_per_s`: the prefill speed from here on.
    /// - `pending`: the most tokens that can be left.
    pub(crate) fn settle(&mut self, now: Duration, tokens_per_s: f64, pending: f64) {
        self.tokens = self.left(now, pending);
        self.at = self.at.max(now);
        self.rate = tokens_per_s;
        if pending <= 0.0 {
            self.on_progress(now);
        } else {
            self.pending_then.get_or_insert(pending);
        }
    }

    /// Adds tokens that proxies have sent.
    pub(crate) fn add(&mut self, now: Duration, tokens: f64) {
        self.tokens = self.left(now, f64::INFINITY) + tokens;
        self.at = self.at.max(now);
    }

    /// Notes that a request got its first byte, or that none is pending.
    pub(crate) fn on_progress(&mut self, now: Duration) {
        self.progress_at = self.progress_at.max(now);
        self.pending_then = None;
    }

    /// Returns the seconds by which the endpoint is late. It then has work that no proxy sent, is
    /// slower than assumed, or cannot start the first request of its queue. An endpoint late by t
    /// is assumed to need another t.
    ///
    /// Only work pending when the silence began excuses it. Otherwise each request sent behind a
    /// stuck one would make the endpoint look healthier and attract more (scenario `lora`, 20
    /// seeds: 0.5 % of requests out of SLO, with this rule 0.1 %).
    ///
    /// - `pending`: as for [`Self::left`].
    pub(crate) fn late_s(&self, now: Duration, pending: f64) -> f64 {
        if pending <= 0.0 {
            return 0.0;
        }
        let silent_s = now.saturating_sub(self.progress_at).as_secs_f64();
        let ahead = self.pending_then.map_or(pending, |then| then.min(pending));
        (silent_s - 2.0 * ahead / self.rate.max(1.0) - STUCK_AFTER_S).max(0.0)
    }

    /// Returns the tokens that are left at `now`.
    ///
    /// - `pending`: tokens of requests without a first byte, over all proxies. No more can be left.
    pub(crate) fn left(&self, now: Duration, pending: f64) -> f64 {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens - self.rate * seconds).clamp(0.0, pending.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_starts_nothing_for_long_is_late() {
        let at = Duration::from_millis;
        let mut backlog = Backlog::default();
        backlog.settle(at(1_000), 10_000.0, 0.0);
        backlog.on_progress(at(1_000));
        // 1,000 tokens take 0.1 s, so the endpoint is late from 0.7 s after the last progress on.
        assert_eq!(backlog.late_s(at(1_650), 1_000.0), 0.0);
        assert!((backlog.late_s(at(2_700), 1_000.0) - 1.0).abs() < 1e-9);
        assert_eq!(backlog.late_s(at(2_700), 0.0), 0.0);
        backlog.on_progress(at(2_700));
        assert_eq!(backlog.late_s(at(2_800), 1_000.0), 0.0);
    }

    #[test]
    fn what_is_sent_to_a_stuck_endpoint_does_not_excuse_it() {
        let at = Duration::from_millis;
        let mut backlog = Backlog::default();
        backlog.settle(at(1_000), 10_000.0, 0.0);
        backlog.settle(at(1_050), 10_000.0, 1_000.0);
        // Other requests queue behind the stuck one.
        backlog.settle(at(2_650), 10_000.0, 30_000.0);
        assert!((backlog.late_s(at(2_700), 30_000.0) - 1.0).abs() < 1e-9);
        // The stuck request gets its first byte. Any of the others may now be in prefill.
        backlog.on_progress(at(2_700));
        backlog.settle(at(2_750), 10_000.0, 29_000.0);
        assert_eq!(backlog.late_s(at(9_000), 29_000.0), 0.0);
    }

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn it_fills_with_reports_drains_with_time_and_holds_no_more_than_is_waited_for() {
        let at = Duration::from_millis;
        let mut backlog = Backlog::default();
        backlog.settle(at(0), 10_000.0, 0.0);
        backlog.add(at(100), 5_000.0);
        assert_eq!(backlog.left(at(300), 5_000.0), 3_000.0);
        backlog.settle(at(300), 10_000.0, 1_000.0);
        backlog.add(at(300), 2_000.0);
        assert_eq!(backlog.left(at(400), 9_000.0), 2_000.0);
        assert_eq!(backlog.left(at(900), 9_000.0), 0.0);
        // A clock that steps back neither drains nor fills the backlog.
        backlog.add(at(100), 500.0);
        assert_eq!(backlog.left(at(100), 9_000.0), 3_500.0);
    }
}
