//! The scraper: one task per endpoint.
//!
//! Comes in: lists of targets. Goes out: one outcome per scrape to [`PoolState`]. Never: more than the configured number of
//! requests at a time, a page larger than allowed, a scrape that outlives its timeout; one endpoint's failure touches no other.

mod client;
mod fetch;
mod form;
mod tls;

pub(crate) use client::{Client, client};

use crate::config::Scrape;
use crate::discovery::{Target, Targets};
use crate::state::PoolState;
use fetch::Failure;
use form::Follower;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use trimtab_estimate::{Missed, Sample};

/// A failing target is asked this seldom at most, unless the interval itself is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Each wait differs from the interval by at most this share, so that targets do not fall into step.
const JITTER: f64 = 0.1;

/// What the tasks of one pool share.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) pool: Arc<PoolState>,
    pub(crate) settings: Scrape,
    pub(crate) client: Client,
    permits: Semaphore,
}

impl Scraper {
    pub(crate) fn new(pool: Arc<PoolState>, settings: Scrape, client: Client) -> Arc<Self> {
        let permits = Semaphore::new(settings.concurrency);
        Arc::new(Self {
            pool,
            settings,
            client,
            permits,
        })
    }

    /// Scrapes whatever is listed, until discovery ends. Dropping the future ends all scrapes.
    pub(crate) async fn run(self: Arc<Self>, mut targets: watch::Receiver<Targets>) {
        let mut tasks = JoinSet::new();
        let mut running: HashMap<String, (Target, AbortHandle)> = HashMap::new();
        loop {
            let now = targets.borrow_and_update().clone();
            self.pool.set_targets(&now);
            if let Some(list) = now.listed {
                self.start_and_stop(&list, &mut running, &mut tasks);
            }
            tokio::select! {
                changed = targets.changed() => if changed.is_err() { break },
                Some(_) = tasks.join_next() => {}
            }
        }
        std::future::pending::<()>().await;
    }

    fn start_and_stop(
        self: &Arc<Self>,
        list: &[Target],
        running: &mut HashMap<String, (Target, AbortHandle)>,
        tasks: &mut JoinSet<()>,
    ) {
        let listed: HashMap<&str, &Target> = list
            .iter()
            .map(|target| (target.spec.address.as_str(), target))
            .collect();
        running.retain(|address, (target, task)| {
            // Draining or another zone do not change how a page is fetched.
            let same = listed
                .get(address.as_str())
                .is_some_and(|now| now.metrics == target.metrics && now.engine == target.engine);
            if !same {
                task.abort();
            }
            same && !task.is_finished()
        });
        for target in list {
            if !running.contains_key(&target.spec.address) {
                let task = tasks.spawn(Arc::clone(self).follow(target.clone()));
                running.insert(target.spec.address.clone(), (target.clone(), task));
            }
        }
    }

    /// Scrapes one target for as long as it is listed.
    async fn follow(self: Arc<Self>, target: Target) {
        let mut follower = Follower::new(&target, &self.settings);
        let mut random = Random::new();
        let mut failures = 0u32;
        // Spread the first scrapes over one interval.
        tokio::time::sleep(self.settings.interval.mul_f64(random.ratio())).await;
        loop {
            let Ok(permit) = self.permits.acquire().await else {
                return;
            };
            let began = Instant::now();
            let outcome = follower
                .scrape(&self.client, &self.settings, &self.pool.metrics)
                .await;
            drop(permit);
            self.pool.metrics.scraped(began.elapsed());
            let outcome = match outcome {
                Ok(sample) => Ok(sample),
                Err(failure) => {
                    let missed = self.missed(&target, &failure).await;
                    Err((failure, missed))
                }
            };
            let wait = self.record(&target, outcome, &mut failures);
            let jitter = 1.0 + JITTER * (2.0 * random.ratio() - 1.0);
            tokio::time::sleep_until(began + wait.mul_f64(jitter)).await;
        }
    }

    /// What a failed scrape says of the endpoint. Where its page has a port of its own that gives no answer, the endpoint itself is asked whether
    /// it is there.
    async fn missed(&self, target: &Target, failure: &Failure) -> Missed {
        let missed = failure.missed();
        let address = &target.spec.address;
        if missed == Missed::Unreadable || target.metrics.is_at(address) {
            return missed;
        }
        let connect = TcpStream::connect(address.as_str());
        match tokio::time::timeout(self.settings.timeout, connect).await {
            Ok(Ok(_)) => Missed::Unreadable,
            _ => Missed::Unreachable,
        }
    }

    /// Hands the outcome on; gives the time from this scrape to the next.
    fn record(
        &self,
        target: &Target,
        outcome: Result<Sample, (Failure, Missed)>,
        failures: &mut u32,
    ) -> Duration {
        let address = &target.spec.address;
        match outcome {
            Ok(sample) => {
                if *failures >= 3 {
                    tracing::info!(
                        pool = self.pool.name,
                        endpoint = address,
                        failures,
                        "endpoint answers again"
                    );
                }
                *failures = 0;
                self.pool.metrics.scrapes.count("ok");
                let idle = sample.waiting == Some(0.0) && sample.running == Some(0.0);
                self.pool.on_scrape(address, Ok(sample));
                if idle {
                    self.settings.idle_interval
                } else {
                    self.settings.interval
                }
            }
            Err((failure, missed)) => {
                *failures = failures.saturating_add(1);
                self.pool.metrics.scrapes.count(failure.as_str());
                // Once, when it counts: a dead endpoint must not fill the log.
                if *failures == 3 {
                    tracing::warn!(pool = self.pool.name, endpoint = address, %failure, "three scrapes failed");
                }
                self.pool.on_scrape(address, Err(missed));
                backoff(self.settings.interval, *failures)
            }
        }
    }
}

/// Twice the wait per failure after the first two, which are tried again at once to tell a hiccup from an end.
fn backoff(interval: Duration, failures: u32) -> Duration {
    let factor = 1u32 << failures.saturating_sub(2).min(10);
    interval
        .saturating_mul(factor)
        .min(MAX_BACKOFF.max(interval))
}

/// Numbers for spreading work in time; nothing depends on their quality (splitmix64).
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(getrandom::u64().unwrap_or(0))
    }

    /// In 0..1.
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
