//! What requests are like and how many arrive: decayed totals of one endpoint, and means over the
//! pool.

use crate::interval::Interval;
use std::time::Duration;

/// Time constant of means of tokens, in seconds.
const MEAN_TAU_S: f64 = 30.0;
/// Time constant of rates, in seconds. The arrival rate has to follow bursts.
const RATE_TAU_S: f64 = 3.0;
/// How many requests (decayed) a mean needs.
const MIN_REQUESTS: f64 = 0.5;
/// One endpoint's mean counts up to this multiple of the median over endpoints. So a wrong page
/// affects only its own row.
const MAX_OVER_MEDIAN: f64 = 32.0;
/// How many intervals with exactly one prefill the second moment needs.
const MIN_SINGLES: f64 = 20.0;

/// Returns the factor by which a total shrinks over `seconds`.
fn decay(seconds: f64, tau_s: f64) -> f64 {
    libm::exp(-seconds.max(0.0) / tau_s)
}

/// A rate per second that forgets with time constant [`RATE_TAU_S`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate(Option<f64>);

impl Rate {
    /// Adds `events` over the last `seconds`.
    pub(crate) fn add(&mut self, events: f64, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let rate = events / seconds;
        let keep = decay(seconds, RATE_TAU_S);
        self.0 = Some(self.0.map_or(rate, |old| old * keep + rate * (1.0 - keep)));
    }

    pub(crate) fn per_s(self) -> Option<f64> {
        self.0
    }
}

/// A decayed total, and the decayed number of its requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    total: f64,
    requests: f64,
}

impl Mean {
    fn add(&mut self, total: f64, requests: f64) {
        self.total += total;
        self.requests += requests;
    }

    fn shrink(&mut self, by: f64) {
        self.total *= by;
        self.requests *= by;
    }

    fn per_request(self) -> Option<f64> {
        (self.requests >= MIN_REQUESTS).then(|| (self.total / self.requests).max(0.0))
    }
}

/// One endpoint's share of the pool's work.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    at: Duration,
    /// Prompt tokens minus cached ones. May be negative while it is summed, because servers count
    /// the two at different moments.
    pub(crate) uncached: Mean,
    pub(crate) prompt: Mean,
    pub(crate) output: Mean,
    pub(crate) arrivals: Rate,
    /// Requests that end.
    pub(crate) ends: Rate,
    /// From intervals with exactly one prefill: their number, and the sums of their uncached prompt
    /// tokens and of the squares of these.
    singles: f64,
    single_tokens: f64,
    single_squares: f64,
}

impl Work {
    pub(crate) fn add(&mut self, now: Duration, interval: &Interval) {
        let by = decay(now.saturating_sub(self.at).as_secs_f64(), MEAN_TAU_S);
        self.at = now;
        self.uncached.shrink(by);
        self.prompt.shrink(by);
        self.output.shrink(by);
        for total in [
            &mut self.singles,
            &mut self.single_tokens,
            &mut self.single_squares,
        ] {
            *total *= by;
        }
        if let Some((prompt, prefilled)) = interval.prompt_tokens.zip(interval.prefilled) {
            // Without a cache counter every prompt token counts as uncached. Too high is better
            // than too low.
            let uncached = prompt - interval.cached_tokens.unwrap_or(0.0);
            self.uncached.add(uncached, prefilled);
            self.prompt.add(prompt, prefilled);
            if (prefilled - 1.0).abs() < 0.5 && uncached > 0.0 {
                self.singles += 1.0;
                self.single_tokens += uncached;
                self.single_squares += uncached * uncached;
            }
        }
        if let Some((generated, finished)) = interval.generation_tokens.zip(interval.finished) {
            // Running requests have generated half of their tokens on average. With ends alone the
            // mean would rise with every burst, and with starts alone it would fall.
            let started = interval.prefilled.unwrap_or(finished);
            self.output.add(generated, f64::midpoint(started, finished));
        }
        if let Some(ended) = interval.finished.or(interval.prefilled) {
            self.ends.add(ended, interval.seconds);
            self.arrivals
                .add(ended + interval.in_engine.unwrap_or(0.0), interval.seconds);
        }
    }
}

/// Returns the pool's mean over endpoints, weighted by requests. Each endpoint's own mean counts up
/// to [`MAX_OVER_MEDIAN`] medians.
pub(crate) fn pooled(means: impl Iterator<Item = Mean> + Clone) -> Option<f64> {
    let mut own: Vec<f64> = means.clone().filter_map(Mean::per_request).collect();
    let cap = crate::fit::median(&mut own)
        .filter(|median| *median > 0.0)
        .map_or(f64::INFINITY, |median| median * MAX_OVER_MEDIAN);
    let mut pool = Mean::default();
    for mean in means {
        if let Some(per_request) = mean.per_request() {
            pool.add(per_request.min(cap) * mean.requests, mean.requests);
        }
    }
    pool.per_request()
}

/// Returns the mean square of uncached prompt tokens over their squared mean, from intervals with
/// exactly one prefill. It is 2 for an exponential distribution.
pub(crate) fn square_ratio(work: impl Iterator<Item = Work>) -> Option<f64> {
    let (n, sum, squares) = work.fold((0.0, 0.0, 0.0), |(n, sum, squares), work| {
        (
            n + work.singles,
            sum + work.single_tokens,
            squares + work.single_squares,
        )
    });
    // Equal prompts have 1, the least possible. Above 100 a single outlier would decide.
    (n >= MIN_SINGLES && sum > 0.0).then(|| (squares * n / (sum * sum)).clamp(1.0, 100.0))
}
