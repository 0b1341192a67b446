//! One pool at run time: what is known of it, and the table that is published.

use super::estimator::Estimator;
use super::publication::{Publication, Published};
use super::readiness::Readiness;
use super::reasons::{Reasons, log_doubts};
use super::settings::PoolConfig;
use crate::members::{Target, Targets};
use crate::metrics::PoolMetrics;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use trimtab_estimate::{Accepted, Missed, Pace, Refusal, Sample};
use trimtab_loadtable::{Endpoint, Report, Table, Version};

/// The pause after a table that could not be published.
const RETRY: Duration = Duration::from_secs(2);
/// How often to check whether a first table is possible.
const LOOK: Duration = Duration::from_millis(50);

/// One pool. Ties its parts together.
#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) name: String,
    pub(crate) metrics: Arc<PoolMetrics>,
    /// Why pages are missing, by endpoint.
    pub(crate) reasons: Reasons,
    /// Places for calls that wait. A call that finds none is answered at once.
    pub(crate) places: Semaphore,
    origin: Instant,
    interval: Duration,
    estimator: Estimator,
    readiness: Readiness,
    publication: Publication,
    /// The identities of the listed endpoints, by address. Endpoints without an identity are left
    /// out.
    ids: Mutex<HashMap<String, String>>,
    /// What discovery could not find out.
    notes: Mutex<Vec<String>>,
    urgent: Notify,
    ended: watch::Sender<bool>,
}

impl PoolState {
    /// Makes a pool.
    ///
    /// - `max_proxies`: how many proxies may have their reports remembered, and their calls
    ///   waiting.
    /// - `epoch`, `drawn_key`: random numbers.
    pub(crate) fn new(
        config: &PoolConfig,
        max_proxies: usize,
        epoch: u64,
        drawn_key: [u8; 16],
    ) -> Arc<Self> {
        let round = config.scrape.interval.saturating_add(config.scrape.timeout);
        Arc::new(Self {
            name: config.name.clone(),
            metrics: PoolMetrics::new(&config.name),
            reasons: Reasons::default(),
            places: Semaphore::new(max_proxies),
            origin: Instant::now(),
            interval: config.publish_interval,
            estimator: Estimator::new(config, max_proxies, epoch, drawn_key),
            readiness: Readiness::new(round),
            publication: Publication::new(),
            ids: Mutex::default(),
            notes: Mutex::default(),
            urgent: Notify::new(),
            ended: watch::channel(false).0,
        })
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Takes over a list of endpoints, and brings the next table forward.
    pub(crate) fn set_targets(&self, targets: &Targets) {
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = targets.missing.clone();
        let error = targets.error.as_ref();
        let Some(list) = &targets.listed else {
            return self.readiness.on_list(self.now(), None, error);
        };
        let specs = |list: &[&Target]| list.iter().map(|target| target.spec.clone()).collect();
        let (kept, all) = self.identify(list);
        let stay: BTreeSet<&str> = kept.iter().map(|one| one.spec.address.as_str()).collect();
        let kept = (kept.len() < all.len()).then(|| specs(&kept));
        let refused = self.estimator.set_endpoints(self.now(), kept, specs(&all));
        let listed: BTreeSet<String> = all
            .iter()
            .map(|target| target.spec.address.clone())
            .filter(|address| !refused.contains(address))
            .collect();
        self.metrics.seen.retain(|address| listed.contains(address));
        let may_stay = |address: &str| stay.contains(address);
        self.reasons.on_list(&listed, may_stay);
        self.readiness.on_list(self.now(), Some(listed), error);
        if !refused.is_empty() {
            tracing::warn!(
                pool = self.name,
                ?refused,
                "endpoints left out: a table cannot carry them"
            );
        }
        if self.newest().is_some() {
            self.urgent.notify_one();
        }
    }

    /// Says what discovery could not find out of the endpoints, such as their hardware, and why.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns two lists of targets: those that are not a new endpoint at a known address, and all.
    fn identify<'t>(&self, list: &'t [Target]) -> (Vec<&'t Target>, Vec<&'t Target>) {
        let known = |target: &&Target| {
            let id = target.id.clone()?;
            Some((target.spec.address.clone(), id))
        };
        let all: Vec<&Target> = list.iter().collect();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let is_another = |target: &&Target| match (ids.get(&target.spec.address), &target.id) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        let kept = all.iter().copied().filter(|target| !is_another(target));
        let kept = kept.collect();
        *ids = all.iter().filter_map(known).collect();
        (kept, all)
    }

    /// Takes in the outcome of a scrape.
    pub(crate) fn on_scrape(&self, address: &str, outcome: Result<Sample, Missed>) {
        if outcome.is_ok() {
            self.reasons.clear(address);
        }
        self.estimator.on_scrape(self.now(), address, outcome);
        // This comes last, because it may allow the first table.
        self.readiness.on_scrape(address);
    }

    /// Takes in a page that came late. `asked`: when it was asked for.
    pub(crate) fn on_late_sample(&self, address: &str, asked: Instant, sample: Sample) {
        let asked_at = asked.saturating_duration_since(self.origin);
        self.estimator
            .on_late_sample(self.now(), asked_at, address, sample);
        self.readiness.on_scrape(address);
    }

    /// Takes in a report. An urgent report brings the next table forward.
    pub(crate) fn on_report(&self, report: &Report) -> Result<Accepted, Refusal> {
        let on_new_key = || {
            // From here on nobody gets a table with the key that was drawn.
            self.publication.withdraw();
            self.urgent.notify_one();
            tracing::info!(
                pool = self.name,
                "took over the placement key that a proxy has of the aggregator before"
            );
        };
        let accepted = self.estimator.on_report(self.now(), report, on_new_key)?;
        let table = self.newest();
        self.metrics.seen.add(report, |address| {
            let rows = table.iter().map(|published| &published.table.endpoints);
            let found = |rows: &Vec<Endpoint>| {
                rows.binary_search_by(|row| row.address.as_str().cmp(address))
                    .is_ok()
            };
            rows.into_iter().any(found)
        });
        if accepted == Accepted::Urgent {
            self.urgent.notify_one();
        }
        Ok(accepted)
    }

    /// Returns the channel of tables on which a proxy's call waits.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.publication.subscribe()
    }

    /// Returns the newest table. `None`: there is none yet, or the last one was withdrawn.
    pub(crate) fn newest(&self) -> Option<Arc<Published>> {
        self.publication.newest()
    }

    /// Returns the bytes of a table for a proxy that has `have`. A proxy's first table of an epoch
    /// lists all that endpoints are known to hold.
    pub(crate) fn bytes_for(&self, published: &Published, have: Option<Version>) -> Bytes {
        if have.is_some_and(|have| have.epoch == published.version.epoch) {
            return published.bytes.clone();
        }
        published.first(|table| self.estimator.first(table))
    }

    /// Says what keeps the pool from being ready. `None`: it is ready.
    pub(crate) fn missing(&self) -> Option<String> {
        let missing = self.readiness.missing(self.newest().is_some())?;
        Some(format!("pool {}: {missing}", self.name))
    }

    /// Ends the pool. Calls that wait for its tables are answered.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Turns true when the pool ends.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    /// Publishes tables until the task is dropped.
    pub(crate) async fn publish_forever(self: Arc<Self>) {
        let mut pace = Pace::new(self.interval);
        loop {
            match self.publish(&pace) {
                Outcome::Published { bytes, proxies } => {
                    pace.on_published(self.now(), bytes, proxies);
                    self.wait(&pace).await;
                }
                Outcome::KeptBack => {
                    pace.on_kept_back(self.now());
                    self.wait(&pace).await;
                }
                Outcome::TooEarly => tokio::time::sleep(LOOK).await,
                Outcome::Failed => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Waits until the next table is due.
    async fn wait(&self, pace: &Pace) {
        let until = |due: Duration| tokio::time::sleep_until(self.origin + due);
        tokio::select! {
            () = until(pace.due()) => {}
            () = self.urgent.notified() => {
                until(pace.due_when_urgent()).await;
                // The next table contains all that came meanwhile, so this notice needs no table of
                // its own.
                tokio::select! {
                    biased;
                    () = self.urgent.notified() => {}
                    () = std::future::ready(()) => {}
                }
            }
        }
    }

    /// Builds a table, and publishes it unless `pace` holds it back.
    fn publish(&self, pace: &Pace) -> Outcome {
        let (began, now) = (Instant::now(), self.now());
        if !self.readiness.allows_a_table(now) {
            return Outcome::TooEarly;
        }
        let estimated = self.estimator.table(now);
        let proxies = estimated.included.len();
        let keeps_back =
            |last: Arc<Published>| pace.keeps_back(self.now(), &last.table, &estimated.table);
        if self.newest().is_some_and(keeps_back) {
            self.metrics.tables_kept_back.inc();
            return Outcome::KeptBack;
        }
        let published = Published::new(estimated);
        self.metrics.built(began.elapsed());
        self.metrics.proxies.set(proxies as u64);
        let published = match published {
            Ok(published) => published,
            Err(error) => {
                self.metrics.table_failures.inc();
                tracing::error!(
                    pool = self.name,
                    error,
                    "table not published, the last one stays"
                );
                return Outcome::Failed;
            }
        };
        let bytes = published.bytes.len();
        self.count(&published.table, bytes);
        let last = self.newest();
        let last = last.as_ref().map(|published| &published.table);
        log_doubts(&self.name, &self.reasons, last, &published.table);
        let key = published.table.placement_key;
        let publish = || self.publication.publish(published);
        match self.estimator.if_key_stands(key, publish) {
            true => Outcome::Published { bytes, proxies },
            // A proxy's key was taken over meanwhile.
            false => Outcome::KeptBack,
        }
    }

    fn count(&self, table: &Table, bytes: usize) {
        let in_state = |state| {
            table
                .endpoints
                .iter()
                .filter(|row| row.state == state)
                .count()
        };
        self.metrics.set_states(in_state);
        self.metrics.table_sequence.set(table.version.sequence);
        self.metrics.table_bytes.set(bytes as u64);
    }
}

/// What happened to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It has `bytes` bytes and goes to `proxies` proxies.
    Published { bytes: usize, proxies: usize },
    /// It barely differs from the last one, or its placement key has been replaced.
    KeptBack,
    /// No endpoints are listed yet, or some are still being scraped for the first time.
    TooEarly,
    /// It breaks a limit of the format.
    Failed,
}

#[cfg(test)]
mod tests;
