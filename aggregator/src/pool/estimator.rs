//! What is known of a pool's endpoints, behind one lock.

use super::settings::PoolConfig;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trimtab_estimate::{Accepted, EndpointSpec, Missed, Pool, Refusal, Sample};
use trimtab_loadtable::{Report, Table};

/// For this long after the start a key of a proxy may replace the key that was drawn. Proxies call
/// again within 5 s.
pub(super) const TAKES_KEY_FOR: Duration = Duration::from_secs(60);

/// [`Pool`], and whether its placement key may change. All times count from the pool's start.
#[derive(Debug)]
pub(super) struct Estimator {
    /// A std mutex: it is held for a computation, never over an await.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    estimate: Pool,
    /// The placement key was drawn, and no proxy has brought the key of the aggregator before.
    key_is_drawn: bool,
}

/// A table, and which reports are in it.
#[derive(Debug)]
pub(super) struct Estimated {
    pub(super) table: Table,
    /// By proxy that has reported recently: the sequence of its newest report that the table has
    /// taken in.
    pub(super) included: HashMap<u64, u64>,
}

impl Estimator {
    /// Makes the estimator of a pool.
    ///
    /// - `epoch`: tells this pool's tables from those of every other start.
    /// - `drawn`: the placement key if the settings have none.
    pub(super) fn new(
        config: &PoolConfig,
        max_proxies: usize,
        epoch: u64,
        drawn: [u8; 16],
    ) -> Self {
        let key = config.placement_key.unwrap_or(drawn);
        let mut estimate = trimtab_estimate::PoolConfig::new(&config.name, epoch, key);
        estimate.suspect_after = config.suspect_after;
        estimate.max_proxies = max_proxies;
        estimate.adapter_load_s = config.adapter_load_s;
        estimate.priors = config.classes.iter().cloned().collect();
        Self {
            inner: Mutex::new(Inner {
                estimate: Pool::new(estimate),
                key_is_drawn: config.placement_key.is_none(),
            }),
        }
    }

    /// Ignores a poisoned lock. A panic under the lock would be a bug, and going on is better than
    /// no tables.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a list, and returns the addresses that a table cannot carry.
    ///
    /// - `kept`: `all` without new endpoints at known addresses. What was known at these addresses
    ///   is forgotten. No table is made meanwhile. `None`: there is no such endpoint.
    /// - `all`: the whole list.
    pub(super) fn set_endpoints(
        &self,
        now: Duration,
        kept: Option<Vec<EndpointSpec>>,
        all: Vec<EndpointSpec>,
    ) -> Vec<String> {
        let mut inner = self.lock();
        if let Some(kept) = kept {
            inner.estimate.set_endpoints(now, kept);
        }
        inner.estimate.set_endpoints(now, all)
    }

    /// Takes in the outcome of a scrape.
    pub(super) fn on_scrape(&self, now: Duration, address: &str, outcome: Result<Sample, Missed>) {
        let mut inner = self.lock();
        match outcome {
            Ok(sample) => inner.estimate.on_sample(now, address, sample),
            Err(missed) => inner.estimate.on_scrape_failed(now, address, missed),
        }
    }

    /// Takes in a page that came late. `asked_at`: when it was asked for.
    pub(super) fn on_late_sample(
        &self,
        now: Duration,
        asked_at: Duration,
        address: &str,
        sample: Sample,
    ) {
        let mut inner = self.lock();
        inner
            .estimate
            .on_late_sample(now, asked_at, address, sample);
    }

    /// Takes in a report. Calls `on_new_key` if the report's placement key is taken over. No table
    /// can be made meanwhile.
    pub(super) fn on_report(
        &self,
        now: Duration,
        report: &Report,
        on_new_key: impl FnOnce(),
    ) -> Result<Accepted, Refusal> {
        let mut inner = self.lock();
        if inner.take_key_over(now, report)? {
            on_new_key();
        }
        inner.estimate.on_report(now, report)
    }

    /// Makes the table as of `now`.
    pub(super) fn table(&self, now: Duration) -> Estimated {
        let mut inner = self.lock();
        Estimated {
            table: inner.estimate.table(now),
            included: inner.estimate.included(),
        }
    }

    /// Returns the same table with all that endpoints are known to hold.
    pub(super) fn first(&self, table: &Table) -> Table {
        self.lock().estimate.first(table)
    }

    /// Calls `publish` if the placement key is still `key`, and returns whether it is. The key
    /// cannot change meanwhile.
    pub(super) fn if_key_stands(&self, key: [u8; 16], publish: impl FnOnce()) -> bool {
        let inner = self.lock();
        let stands = key == inner.estimate.config().placement_key;
        if stands {
            publish();
        }
        stands
    }
}

impl Inner {
    /// Takes over the placement key of the aggregator before this one, from a proxy that still has
    /// it. Conversations then stay where their caches are, and proxies still know where responses
    /// and files are held. This gives no new power: whoever can send a key can also read ours.
    ///
    /// # Errors
    /// Returns the [`Refusal`] of a report that would bring a key; then nothing has changed.
    fn take_key_over(&mut self, now: Duration, report: &Report) -> Result<bool, Refusal> {
        if !self.key_is_drawn || now > TAKES_KEY_FOR {
            return Ok(false);
        }
        let epoch = self.estimate.config().epoch;
        let is_former = report.have.is_some_and(|have| have.epoch != epoch);
        let Some(key) = report.placement_key.filter(|_| is_former) else {
            return Ok(false);
        };
        self.estimate.admits(now, report)?;
        self.key_is_drawn = false;
        self.estimate.set_placement_key(key);
        Ok(true)
    }
}
