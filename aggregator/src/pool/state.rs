//! One pool at run time: what is known of it and the table that is published.

mod reasons;
mod untried;

use crate::config::PoolConfig;
use crate::members::{Target, Targets};
use crate::metrics::PoolMetrics;
use crate::pool::heard::Heard;
use bytes::Bytes;
use reasons::{Reasons, log_doubts};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use trimtab_estimate::{Accepted, Missed, Pace, Pool, Refusal, Sample};
use trimtab_loadtable::{Endpoint, Report, State as RowState, Table, Version, limits};
use untried::Untried;

/// After a table that could not be published.
const RETRY: Duration = Duration::from_secs(2);
/// How often it is looked whether there may be a first table.
const LOOK: Duration = Duration::from_millis(50);
/// So long after the start a key that was drawn may give way to one that a proxy brings. Proxies call again within 5 s.
const TAKES_KEY_FOR: Duration = Duration::from_secs(60);

/// A table as it goes out. Encoded once, shared by every waiting proxy.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) version: Version,
    pub(crate) bytes: Bytes,
    pub(crate) table: Table,
    pub(crate) at: Instant,
    /// By proxy, the sequence of its newest report that the table has taken in.
    pub(crate) included: HashMap<u64, u64>,
    /// The same table for proxies that have none of this aggregator, encoded when the first of them asks.
    first: OnceLock<Bytes>,
}

/// One pool.
#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) name: String,
    pub(crate) metrics: Arc<PoolMetrics>,
    pub(crate) reasons: Reasons,
    origin: Instant,
    interval: Duration,
    /// A std mutex: it is held for the length of a computation, never over an await.
    inner: Mutex<Inner>,
    published: watch::Sender<Option<Arc<Published>>>,
    urgent: Notify,
}

#[derive(Debug)]
struct Inner {
    estimate: Pool,
    heard: Heard,
    untried: Untried,
    discovery_error: Option<String>,
    /// The placement key was drawn, and no proxy has brought the one before.
    key_is_drawn: bool,
}

impl PoolState {
    pub(crate) fn new(config: &PoolConfig, estimate: Pool, metrics: Arc<PoolMetrics>) -> Arc<Self> {
        let heard = Heard::new(estimate.config().report_ttl, estimate.config().max_proxies);
        Arc::new(Self {
            name: config.name.clone(),
            metrics,
            reasons: Reasons::default(),
            origin: Instant::now(),
            interval: config.publish_interval,
            inner: Mutex::new(Inner {
                estimate,
                heard,
                untried: Untried::new(config.scrape.interval.saturating_add(config.scrape.timeout)),
                discovery_error: None,
                key_is_drawn: config.placement_key.is_none(),
            }),
            published: watch::channel(None).0,
            urgent: Notify::new(),
        })
    }

    /// A panic while the lock is held would be a bug; going on with what it left serves better than none.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Takes over a list of endpoints.
    pub(crate) fn set_targets(&self, targets: &Targets) {
        let mut inner = self.lock();
        inner.discovery_error.clone_from(&targets.error);
        let Some(list) = &targets.listed else { return };
        let specs = list
            .iter()
            .map(|target: &Target| target.spec.clone())
            .collect();
        let refused = inner.estimate.set_endpoints(self.now(), specs);
        let listed: BTreeSet<String> = list
            .iter()
            .map(|target| target.spec.address.clone())
            .filter(|address| !refused.contains(address))
            .collect();
        self.metrics.seen.retain(|address| listed.contains(address));
        self.reasons.retain(|address| listed.contains(address));
        inner.untried.on_list(self.now(), listed);
        if !refused.is_empty() {
            tracing::warn!(
                pool = self.name,
                ?refused,
                "endpoints left out: a table cannot carry them"
            );
        }
    }

    /// Takes in the outcome of a scrape.
    pub(crate) fn on_scrape(&self, address: &str, outcome: Result<Sample, Missed>) {
        let mut inner = self.lock();
        inner.untried.on_scrape(address);
        let now = self.now();
        match outcome {
            Ok(sample) => {
                self.reasons.clear(address);
                inner.estimate.on_sample(now, address, sample);
            }
            Err(missed) => inner.estimate.on_scrape_failed(now, address, missed),
        }
    }

    /// Takes in a page that came late. `asked`: when it was asked for.
    pub(crate) fn on_late_sample(&self, address: &str, asked: Instant, sample: Sample) {
        let mut inner = self.lock();
        inner.untried.on_scrape(address);
        let asked_at = asked.saturating_duration_since(self.origin);
        let now = self.now();
        inner
            .estimate
            .on_late_sample(now, asked_at, address, sample);
    }

    /// Takes in a report; large news brings the next table forward.
    pub(crate) fn on_report(&self, report: &Report) -> Result<Accepted, Refusal> {
        let accepted = {
            let mut inner = self.lock();
            let now = self.now();
            self.take_key_over(&mut inner, now, report);
            let accepted = inner.estimate.on_report(now, report)?;
            if accepted != Accepted::Late {
                inner.heard.on_report(now, report.proxy, report.sequence);
            }
            accepted
        };
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

    /// Takes over the placement key of the aggregator before this one from a proxy that still has it. Conversations then stay where their
    /// caches are, and proxies still know where responses and files are. Whoever can bring a key could also read ours.
    fn take_key_over(&self, inner: &mut Inner, now: Duration, report: &Report) {
        if !inner.key_is_drawn || now > TAKES_KEY_FOR {
            return;
        }
        let epoch = inner.estimate.config().epoch;
        let is_former = report.have.is_some_and(|have| have.epoch != epoch);
        let Some(key) = report.placement_key.filter(|_| is_former) else {
            return;
        };
        inner.key_is_drawn = false;
        inner.estimate.set_placement_key(key);
        // Nobody gets a table under the key that was drawn any more.
        self.published.send_replace(None);
        self.urgent.notify_one();
        tracing::info!(
            pool = self.name,
            "took over the placement key that a proxy has of the aggregator before"
        );
    }

    /// What a proxy waits on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.published.subscribe()
    }

    /// The newest table; `None` before endpoints were listed.
    pub(crate) fn newest(&self) -> Option<Arc<Published>> {
        self.published.borrow().clone()
    }

    /// The bytes of a table for a proxy that has `have`: the first one that it gets says all that endpoints are known to keep.
    pub(crate) fn bytes_for(&self, published: &Published, have: Option<Version>) -> Bytes {
        if have.is_some_and(|have| have.epoch == published.version.epoch) {
            return published.bytes.clone();
        }
        let encode = || {
            let first = self.lock().estimate.first(&published.table);
            Bytes::from(first.encode())
        };
        let first = published.first.get_or_init(encode);
        match first.len() <= limits::TABLE_BYTES {
            true => first.clone(),
            false => published.bytes.clone(),
        }
    }

    /// What keeps the pool from being ready, in words; `None` when nothing does.
    pub(crate) fn missing(&self) -> Option<String> {
        let inner = self.lock();
        let name = &self.name;
        match (inner.untried.left(), &inner.discovery_error) {
            (None, Some(error)) => Some(format!("pool {name}: no endpoints listed yet: {error}")),
            (None, None) => Some(format!("pool {name}: no endpoints listed yet")),
            (Some(untried), _) if !untried.is_empty() => {
                let some: Vec<&str> = untried.iter().map(String::as_str).take(5).collect();
                Some(format!(
                    "pool {name}: {} endpoints not scraped yet, among them {}",
                    untried.len(),
                    some.join(", ")
                ))
            }
            _ if self.published.borrow().is_none() => {
                Some(format!("pool {name}: no table published yet"))
            }
            _ => None,
        }
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
                until(pace.due_with_news()).await;
                // More that came by now is in the next table and needs none of its own.
                tokio::select! {
                    biased;
                    () = self.urgent.notified() => {}
                    () = std::future::ready(()) => {}
                }
            }
        }
    }

    /// Builds a table, and publishes it unless `pace` keeps it back.
    fn publish(&self, pace: &Pace) -> Outcome {
        let began = Instant::now();
        let (table, proxies, included) = {
            let mut inner = self.lock();
            let now = self.now();
            if !inner.untried.allows_a_table(now) {
                return Outcome::TooEarly;
            }
            let table = inner.estimate.table(now);
            (
                table,
                inner.estimate.proxy_count(),
                inner.heard.included(now),
            )
        };
        let keeps_back = |last: Arc<Published>| pace.keeps_back(self.now(), &last.table, &table);
        if self.newest().is_some_and(keeps_back) {
            self.metrics.tables_kept_back.add(1);
            return Outcome::KeptBack;
        }
        let bytes = Bytes::from(table.encode());
        let checked = check(&table, bytes.len());
        self.metrics
            .build_us
            .add(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.metrics.proxies.set(proxies as u64);
        if let Err(error) = checked {
            self.metrics.table_failures.add(1);
            tracing::error!(
                pool = self.name,
                error,
                "table not published, the last one stays"
            );
            return Outcome::Failed;
        }
        self.count(&table, bytes.len());
        let last = self.newest();
        let last = last.as_ref().map(|published| &published.table);
        log_doubts(&self.name, &self.reasons, last, &table);
        let outcome = Outcome::Published {
            bytes: bytes.len(),
            proxies,
        };
        let published = Published {
            version: table.version,
            bytes,
            table,
            at: Instant::now(),
            included,
            first: OnceLock::new(),
        };
        let inner = self.lock();
        if published.table.placement_key != inner.estimate.config().placement_key {
            // The key was taken over meanwhile.
            return Outcome::KeptBack;
        }
        self.published.send_replace(Some(Arc::new(published)));
        outcome
    }

    fn count(&self, table: &Table, bytes: usize) {
        let in_state = |state| {
            table
                .endpoints
                .iter()
                .filter(|row| row.state == state)
                .count()
        };
        self.metrics.set_states(
            in_state(RowState::Ready),
            in_state(RowState::Draining),
            in_state(RowState::Suspect),
        );
        self.metrics.table_sequence.set(table.version.sequence);
        self.metrics.table_bytes.set(bytes as u64);
    }
}

/// What became of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It has so many bytes and goes to so many proxies.
    Published { bytes: usize, proxies: usize },
    /// It tells too little that the last one did not.
    KeptBack,
    /// No endpoints were listed yet, or they are still tried for the first time.
    TooEarly,
    /// It breaks the format's limits.
    Failed,
}

fn check(table: &Table, bytes: usize) -> Result<(), String> {
    table.check().map_err(|error| error.to_string())?;
    if bytes > limits::TABLE_BYTES {
        return Err(format!(
            "{bytes} bytes are more than the {} of a table; split the pool",
            limits::TABLE_BYTES
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
