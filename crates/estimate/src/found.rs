//! How much of what pickers expect in an endpoint's cache is there.
//!
//! Pickers know where a prefix went, not what was evicted since. An endpoint with a small cache
//! keeps less than they believe, and attracts requests that must be prefilled again. Pages say what
//! was found, and reports say what was expected.

use std::time::Duration;

use crate::interval::Interval;

/// Time constant of what is compared, in seconds.
const TAU_S: f64 = 30.0;
/// Weight, in expected tokens, of the first belief: the pool's share; for the pool itself 1.
const BELIEF_TOKENS: f64 = 20_000.0;

/// Decayed totals of one endpoint, in prompt tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    at: Duration,
    /// Requests that proxies sent, and how many of their tokens the proxies expected to be
    /// prefilled.
    sent: f64,
    sent_tokens: f64,
    /// Prompts that the page counted, their tokens, and those of them found in the cache.
    prompts: f64,
    prompt_tokens: f64,
    cached_tokens: f64,
    /// The share that pickers used for that expectation. 0: not known yet.
    share: f64,
}

impl Found {
    fn decay(&mut self, now: Duration) {
        let by = libm::exp(-now.saturating_sub(self.at).as_secs_f64() / TAU_S);
        self.at = self.at.max(now);
        for total in [
            &mut self.sent,
            &mut self.sent_tokens,
            &mut self.prompts,
            &mut self.prompt_tokens,
            &mut self.cached_tokens,
        ] {
            *total *= by;
        }
    }

    /// Takes in the prompts that a page counted.
    pub(crate) fn on_page(&mut self, now: Duration, interval: &Interval) {
        let counted = interval.prompt_tokens.zip(interval.cached_tokens);
        if let Some(((prompt, cached), prompts)) = counted.zip(interval.prefilled) {
            self.decay(now);
            self.prompts += prompts;
            self.prompt_tokens += prompt;
            self.cached_tokens += cached;
        }
    }

    /// Takes in requests that a proxy sent, and how many of their tokens it expects to be
    /// prefilled.
    pub(crate) fn on_sent(&mut self, now: Duration, requests: f64, tokens: f64) {
        self.decay(now);
        self.sent += requests;
        self.sent_tokens += tokens;
    }

    /// Returns (found, expected) tokens, the latter as if pickers believed in all of the cache.
    /// Requests that came by other ways count like those that proxies sent.
    fn totals(&self) -> Option<(f64, f64)> {
        if self.sent < 1.0 || self.prompts < 1.0 {
            return None;
        }
        let expected = self.prompt_tokens - self.sent_tokens * self.prompts / self.sent;
        let told = if self.share > 0.0 { self.share } else { 1.0 };
        Some((self.cached_tokens.max(0.0), expected.max(0.0) / told))
    }
}

/// Sets the shares of all endpoints: each endpoint's own as far as it is known, else the pool's,
/// else 1.
pub(crate) fn settle<'a>(all: impl Iterator<Item = &'a mut Found>) {
    let all: Vec<&mut Found> = all.collect();
    let totals = all.iter().filter_map(|found| found.totals());
    let (found, expected) = totals.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let pool = share(found, expected, 1.0);
    for one in all {
        let (found, expected) = one.totals().unwrap_or_default();
        one.share = share(found, expected, pool);
    }
}

impl Found {
    /// Returns the share of expected tokens that is found, 0 to 1. `None`: nothing is known.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.share > 0.0).then_some(self.share)
    }
}

fn share(found: f64, expected: f64, belief: f64) -> f64 {
    ((found + belief * BELIEF_TOKENS) / (expected + BELIEF_TOKENS)).clamp(0.01, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Counters, Sample, SumCount};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Ten prompts of 1,000 tokens, each with `cached` tokens in the cache.
    fn page(cached: f64) -> Interval {
        let sample = |n: f64| Sample {
            waiting: Some(0.0),
            running: Some(1.0),
            counters: Counters {
                prompt_tokens: Some(10_000.0 * n),
                cached_tokens: Some(10.0 * cached * n),
                ttft_s: Some(SumCount {
                    sum: n,
                    count: 10.0 * n,
                }),
                ..Counters::default()
            },
            ..Sample::default()
        };
        Interval::between(&sample(0.0), &sample(1.0), 1.0).unwrap()
    }

    /// A minute with one page and one report per second for each endpoint.
    fn after_a_minute(all: &mut [Found], cached: &[f64], sent_tokens: impl Fn(f64) -> f64) {
        for second in 1..=60 {
            let now = Duration::from_secs(second);
            for (found, cached) in all.iter_mut().zip(cached) {
                found.on_sent(now, 10.0, sent_tokens(found.share().unwrap_or(1.0)));
                found.on_page(now, &page(*cached));
            }
            settle(all.iter_mut());
        }
    }

    #[test]
    fn a_cache_that_loses_half_of_what_is_expected_shows_half_and_keeps_showing_it() {
        let mut all = [Found::default(); 2];
        // Pickers expect 800 of 1,000 tokens in a cache whose share is 1.
        after_a_minute(&mut all, &[400.0, 800.0], |share| {
            10.0 * (1_000.0 - share * 800.0)
        });
        let shares = all.map(|found| found.share().unwrap());
        assert!((shares[0] - 0.5).abs() < 0.06, "{shares:?}");
        assert!(shares[1] > 0.95, "{shares:?}");
    }

    #[test]
    fn before_anything_is_known_all_is_believed_and_nothing_is_above_all() {
        let mut all = [Found::default(); 2];
        settle(all.iter_mut());
        assert_eq!(all.map(|found| found.share()), [Some(1.0); 2]);
        after_a_minute(&mut all, &[999.0, 999.0], |_| 10_000.0);
        assert_eq!(all.map(|found| found.share()), [Some(1.0); 2]);
    }
}
