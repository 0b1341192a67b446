//! Scrapes one endpoint again and again, one scrape at a time.

use super::Scraper;
use super::failure::Failure;
use super::form::Follower;
use crate::members::Target;
use crate::metrics::labels;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use trimtab_estimate::{Missed, Sample};

/// The longest wait between scrapes of a failing target, unless the interval is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How long a page that does not come in time is waited for, unless the timeout is longer.
const MOST_PATIENCE: Duration = Duration::from_secs(10);
/// Each wait differs from the interval by at most this share, so that targets do not get into step.
const JITTER: f64 = 0.1;

/// How a server answered when its page was last asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// The scrape ended within the timeout, or later by an error without any answer.
    InTime,
    /// Nothing came in the time that the scrape had. The process may stand still, or be slow.
    Silent,
    /// It began to answer, but the page took longer than the timeout.
    Late,
}

/// The result of one scrape.
#[derive(Debug)]
struct Scraped {
    outcome: Result<Sample, Failure>,
    asked: Instant,
    /// The scrape took longer than the timeout.
    late: bool,
}

impl Scraper {
    /// Scrapes one target until the task is aborted.
    pub(super) async fn follow(self: Arc<Self>, target: Target) {
        let mut follower = Follower::new(&target, &self.settings);
        let mut random = Random::new();
        let mut answers = Answers::InTime;
        let mut failures = 0u32;
        // Spreads the first scrapes over one interval.
        tokio::time::sleep(self.settings.interval.mul_f64(random.ratio())).await;
        loop {
            let scraped = self
                .scrape(&target, &mut follower, &mut answers, &mut failures)
                .await;
            let Some(scraped) = scraped else { return };
            // A slow server gets a pause after its page has come.
            let from = match scraped.late && scraped.outcome.is_ok() {
                true => Instant::now(),
                false => scraped.asked,
            };
            let wait = match scraped.outcome {
                Ok(sample) if scraped.late => self.on_late(&target, scraped.asked, sample),
                Ok(sample) => self.on_sample(&target, sample, &mut failures),
                Err(failure) => self.on_failure(&target, &failure, &mut failures).await,
            };
            let jitter = 1.0 + JITTER * (2.0 * random.ratio() - 1.0);
            tokio::time::sleep_until(from + wait.mul_f64(jitter)).await;
        }
    }

    /// Scrapes once. The scrape may take longer than the timeout if the server has begun to answer,
    /// or was slow or silent the last time. `None`: the scraper ends.
    ///
    /// A slow page does not make its server worse. If each timeout started a new request, no page
    /// would ever come.
    async fn scrape(
        &self,
        target: &Target,
        follower: &mut Follower,
        answers: &mut Answers,
        failures: &mut u32,
    ) -> Option<Scraped> {
        // A slow server takes a place in `overtime` instead of a permit, so it delays no other.
        let overtime = || self.overtime.try_acquire().ok();
        let is_slow = *answers != Answers::InTime;
        let mut place = is_slow.then(overtime).flatten();
        let permit = match place {
            Some(_) => None,
            None => Some(self.permits.acquire().await.ok()?),
        };
        let asked = Instant::now();
        let timeout = self.settings.timeout;
        let heard = follower.heard();
        let page = follower.scrape(&self.client, &self.settings, &self.pool.metrics);
        let mut page = Box::pin(page);
        let in_time = tokio::time::timeout_at(asked + timeout, &mut page).await;
        drop(permit);
        let late = in_time.is_err();
        if late && (heard.get() || is_slow) && place.is_none() {
            place = overtime();
        }
        let outcome = match (in_time, &place) {
            (Ok(outcome), _) => Some(outcome),
            (Err(_), None) => None,
            (Err(_), Some(_)) => {
                let is_known = || heard.get() || *answers == Answers::Late;
                self.wait(target, page.as_mut(), asked, is_known, failures)
                    .await
            }
        };
        drop((page, place));
        if outcome.is_none() {
            follower.on_given_up();
        }
        *answers = match heard.get() {
            _ if !late => Answers::InTime,
            true => Answers::Late,
            false if outcome.is_none() => Answers::Silent,
            false => Answers::InTime,
        };
        self.pool.metrics.scraped(asked.elapsed());
        Some(Scraped {
            outcome: outcome.unwrap_or_else(|| Err(overdue(heard.get(), asked.elapsed()))),
            asked,
            late,
        })
    }

    /// Waits for a page that did not come in time. After each further timeout a failure is
    /// recorded, as often as new scrapes would fail. So a process that stands still is noticed as
    /// soon.
    ///
    /// - `is_known`: whether the server answers.
    ///
    /// Returns `None` if the page did not come by `MOST_PATIENCE`.
    async fn wait(
        &self,
        target: &Target,
        mut page: Pin<&mut impl Future<Output = Result<Sample, Failure>>>,
        asked: Instant,
        is_known: impl Fn() -> bool,
        failures: &mut u32,
    ) -> Option<Result<Sample, Failure>> {
        let timeout = self.settings.timeout;
        let last = asked + timeout.max(MOST_PATIENCE);
        let mut due = asked + timeout;
        while due < last {
            let failure = overdue(is_known(), asked.elapsed());
            self.on_failure(target, &failure, failures).await;
            due = (due + timeout).min(last);
            if let Ok(outcome) = tokio::time::timeout_at(due, page.as_mut()).await {
                return Some(outcome);
            }
        }
        None
    }

    /// Says what a failed scrape means for the endpoint. If no request was sent, or the page has a
    /// port of its own that gives no answer, tries a connection to the endpoint itself.
    async fn missed(&self, target: &Target, failure: &Failure) -> Missed {
        let missed = failure.missed();
        let address = &target.spec.address;
        let is_elsewhere = !target.metrics.is_at(address);
        match missed {
            Some(Missed::Unreachable) if is_elsewhere => {}
            Some(missed) => return missed,
            None => {}
        }
        let connect = TcpStream::connect(address.as_str());
        match tokio::time::timeout(self.settings.timeout, connect).await {
            Ok(Ok(_)) => Missed::Unreadable,
            _ => Missed::Unreachable,
        }
    }

    /// Hands a sample to the pool. Returns the time from this scrape to the next.
    fn on_sample(&self, target: &Target, sample: Sample, failures: &mut u32) -> Duration {
        let address = &target.spec.address;
        if *failures >= 3 {
            tracing::info!(
                pool = self.pool.name,
                endpoint = address,
                failures,
                "endpoint answers again"
            );
        }
        *failures = 0;
        self.pool.metrics.scrapes.count(labels::Scraped::Ok);
        let idle = sample.waiting == Some(0.0) && sample.running == Some(0.0);
        self.pool.on_scrape(address, Ok(sample));
        match idle {
            true => self.settings.idle_interval,
            false => self.settings.interval,
        }
    }

    /// As `on_sample`, for a page that came late. The wait for it was already recorded as a
    /// failure.
    fn on_late(&self, target: &Target, asked: Instant, sample: Sample) -> Duration {
        self.pool.metrics.scrapes.count(labels::Scraped::Ok);
        let reason = overdue(true, asked.elapsed()).to_string();
        self.pool.reasons.set(&target.spec.address, &reason);
        self.pool
            .on_late_sample(&target.spec.address, asked, sample);
        self.settings.interval
    }

    /// Records that there is no sample, or none yet. Returns the time from this scrape to the next.
    async fn on_failure(&self, target: &Target, failure: &Failure, failures: &mut u32) -> Duration {
        let address = &target.spec.address;
        let missed = self.missed(target, failure).await;
        *failures = failures.saturating_add(1);
        self.pool.metrics.scrapes.count(failure.counts_as());
        self.pool.reasons.set(address, &failure.to_string());
        // Logged once, when the third scrape fails: a dead endpoint must not fill the log.
        if *failures == 3 {
            tracing::warn!(pool = self.pool.name, endpoint = address, %failure, "three scrapes failed");
        }
        self.pool.on_scrape(address, Err(missed));
        backoff(self.settings.interval, *failures)
    }
}

/// The failure for a page that did not come in time. `is_known`: whether the server answers.
fn overdue(is_known: bool, after: Duration) -> Failure {
    match is_known {
        true => Failure::Late(after),
        false => Failure::Timeout(after),
    }
}

/// Doubles the wait with each failure after the second. Two failures are retried at the usual
/// interval, so that a short disturbance ends soon.
fn backoff(interval: Duration, failures: u32) -> Duration {
    let factor = 1u32 << failures.saturating_sub(2).min(10);
    interval
        .saturating_mul(factor)
        .min(MAX_BACKOFF.max(interval))
}

/// Random numbers that spread work in time (splitmix64). Nothing depends on their quality.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(getrandom::u64().unwrap_or(0))
    }

    /// Returns a number from 0 to below 1.
    fn ratio(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_after_two_failures_up_to_five_seconds() {
        let interval = Duration::from_millis(200);
        let waits: Vec<u128> = (1..=9)
            .map(|failures| backoff(interval, failures).as_millis())
            .collect();
        assert_eq!(waits, [200, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(
            backoff(Duration::from_secs(30), u32::MAX),
            Duration::from_secs(30)
        );
    }

    #[test]
    fn random_ratios_stay_below_one_and_differ() {
        let mut random = Random(1);
        let ratios: Vec<f64> = (0..1000).map(|_| random.ratio()).collect();
        assert!(ratios.iter().all(|ratio| (0.0..1.0).contains(ratio)));
        let mean = ratios.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }
}
