//! Prefill that proxies have sent and that is not done, between their reports and between scrapes.

use std::time::Duration;

/// Prompt tokens ahead of a new request: a tank that reports fill and the endpoint's prefill speed drains.
///
/// Scrapes say how many requests wait, not how long they are, and a long prompt that is being prefilled looks like an idle
/// endpoint. Proxies know what they sent. What they still wait for is the most that can be left; the drain tells how much of
/// that is done already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backlog {
    tokens: f64,
    at: Duration,
    /// Tokens per second.
    rate: f64,
}

impl Backlog {
    /// Brings it to `now`, with the speed at which it drains from here on and what there can be left at the most.
    pub(crate) fn settle(&mut self, now: Duration, tokens_per_s: f64, pending: f64) {
        self.tokens = self.left(now, pending);
        self.at = self.at.max(now);
        self.rate = tokens_per_s;
    }

    /// Proxies say that so many tokens were sent.
    pub(crate) fn add(&mut self, now: Duration, tokens: f64) {
        self.tokens = self.left(now, f64::INFINITY) + tokens;
        self.at = self.at.max(now);
    }

    /// Tokens that are left at `now`. `pending`: tokens of requests without a first byte, over all proxies; no more than these
    /// can be left.
    pub(crate) fn left(&self, now: Duration, pending: f64) -> f64 {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens - self.rate * seconds).clamp(0.0, pending.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // A clock that steps back drains nothing and fills nothing.
        backlog.add(at(100), 500.0);
        assert_eq!(backlog.left(at(100), 9_000.0), 500.0);
    }
}
