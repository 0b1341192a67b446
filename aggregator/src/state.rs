//! One pool at run time: what is known of it and the table that is published.

use crate::config::PoolConfig;
use crate::discovery::{Target, Targets};
use crate::metrics::PoolMetrics;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use trimtab_estimate::{Accepted, Pool, Refusal, Sample};
use trimtab_loadtable::{Report, State as RowState, Table, Version, limits};

/// Reports of one burst become one table.
const COALESCE: Duration = Duration::from_millis(15);
/// Bytes of tables per second and pool that all proxies together are sent; beyond it tables come less often.
const TRAFFIC_BYTES_PER_S: f64 = 32.0 * 1024.0 * 1024.0;
/// However many proxies there are, a table is this fresh.
const MAX_GAP: Duration = Duration::from_secs(2);

/// A table as it goes out. Encoded once, shared by every waiting proxy.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) version: Version,
    pub(crate) bytes: Bytes,
    pub(crate) table: Table,
    pub(crate) at: Instant,
}

/// One pool.
#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) name: String,
    pub(crate) metrics: Arc<PoolMetrics>,
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
    /// Endpoints of the first list that have not been scraped yet, with or without success; absent: there was no list.
    untried: Option<BTreeSet<String>>,
    discovery_error: Option<String>,
}

impl PoolState {
    pub(crate) fn new(config: &PoolConfig, estimate: Pool, metrics: Arc<PoolMetrics>) -> Arc<Self> {
        Arc::new(Self {
            name: config.name.clone(),
            metrics,
            origin: Instant::now(),
            interval: config.publish_interval,
            inner: Mutex::new(Inner {
                estimate,
                untried: None,
                discovery_error: None,
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
        match &mut inner.untried {
            // Endpoints that join later do not make a ready pool unready.
            Some(untried) => untried.retain(|address| listed.contains(address)),
            None => inner.untried = Some(listed),
        }
        if !refused.is_empty() {
            tracing::warn!(
                pool = self.name,
                ?refused,
                "endpoints left out: a table cannot carry them"
            );
        }
    }

    /// Takes in the outcome of a scrape.
    pub(crate) fn on_scrape(&self, address: &str, sample: Option<Sample>) {
        let mut inner = self.lock();
        if let Some(untried) = &mut inner.untried {
            untried.remove(address);
        }
        match sample {
            Some(sample) => {
                let now = self.now();
                inner.estimate.on_sample(now, address, sample);
            }
            None => inner.estimate.on_scrape_failed(address),
        }
    }

    /// Takes in a report; large news brings the next table forward.
    pub(crate) fn on_report(&self, report: &Report) -> Result<(), Refusal> {
        let Accepted { urgent } = {
            let mut inner = self.lock();
            let now = self.now();
            inner.estimate.on_report(now, report)?
        };
        if urgent {
            self.urgent.notify_one();
        }
        Ok(())
    }

    /// What a proxy waits on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.published.subscribe()
    }

    /// The newest table; `None` before endpoints were listed.
    pub(crate) fn newest(&self) -> Option<Arc<Published>> {
        self.published.borrow().clone()
    }

    /// What keeps the pool from being ready, in words; `None` when nothing does.
    pub(crate) fn missing(&self) -> Option<String> {
        let inner = self.lock();
        let name = &self.name;
        match (&inner.untried, &inner.discovery_error) {
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
        loop {
            let gap = self.publish();
            tokio::select! {
                () = tokio::time::sleep(gap) => {}
                // Where traffic already slows tables down, news waits with the rest.
                () = self.urgent.notified(), if gap <= self.interval => self.coalesce().await,
            }
        }
    }

    /// Waits for the rest of a burst; what it brings is in the next table and needs none of its own.
    async fn coalesce(&self) {
        tokio::time::sleep(COALESCE).await;
        tokio::select! {
            biased;
            () = self.urgent.notified() => {}
            () = std::future::ready(()) => {}
        }
    }

    /// Builds and publishes a table; gives the time until the next.
    fn publish(&self) -> Duration {
        let began = Instant::now();
        let (table, proxies) = {
            let mut inner = self.lock();
            if inner.untried.is_none() {
                return self.interval;
            }
            let now = self.now();
            (inner.estimate.table(now), inner.estimate.proxy_count())
        };
        let bytes = Bytes::from(table.encode());
        let checked = table
            .check()
            .map_err(|error| error.to_string())
            .and_then(|()| match bytes.len() {
                len if len > limits::TABLE_BYTES => Err(format!(
                    "{len} bytes are more than the {} of a table; split the pool",
                    limits::TABLE_BYTES
                )),
                _ => Ok(()),
            });
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
            return MAX_GAP;
        }
        self.count(&table, bytes.len());
        let gap = Duration::from_secs_f64(
            (bytes.len() as f64 * proxies as f64 / TRAFFIC_BYTES_PER_S).min(MAX_GAP.as_secs_f64()),
        );
        let published = Published {
            version: table.version,
            bytes,
            table,
            at: Instant::now(),
        };
        self.published.send_replace(Some(Arc::new(published)));
        gap.max(self.interval)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use trimtab_loadtable::EndpointReport;

    fn pool(interval: &str) -> Arc<PoolState> {
        let text = format!(
            "pools: [{{name: chat, discovery: {{endpoints: [{{address: '10.0.0.1:80'}}]}}, publish_interval: {interval}}}]"
        );
        let config = Config::from_yaml(&text).expect("valid").pools.remove(0);
        let estimate = Pool::new(trimtab_estimate::PoolConfig::new("chat", 1, [0; 16]));
        let pool = PoolState::new(&config, estimate, PoolMetrics::new("chat"));
        let crate::config::Discovery::Static(list) = config.discovery else {
            panic!("a list")
        };
        pool.set_targets(&Targets {
            listed: Some(Arc::new(list)),
            error: None,
        });
        pool.on_scrape(
            "10.0.0.1:80",
            Some(Sample {
                waiting: Some(0.0),
                running: Some(0.0),
                ..Sample::default()
            }),
        );
        pool
    }

    fn report(proxy: u64, sequence: u64, pending_tokens: u32) -> Report {
        let address = "10.0.0.1:80".to_owned();
        let endpoints = vec![EndpointReport {
            address,
            in_flight: 1,
            pending_tokens,
            ..EndpointReport::default()
        }];
        Report {
            pool: "chat".into(),
            proxy,
            sequence,
            workers: 1,
            endpoints,
            ..Report::default()
        }
    }

    fn sequence(pool: &PoolState) -> u64 {
        pool.newest()
            .map_or(0, |published| published.version.sequence)
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_comes_every_interval() {
        let pool = pool("100ms");
        let task = tokio::spawn(Arc::clone(&pool).publish_forever());
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        assert_eq!(sequence(&pool), 11, "one at once and one each 100 ms");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn large_news_of_one_burst_makes_one_table_within_a_moment() {
        let pool = pool("10s");
        let task = tokio::spawn(Arc::clone(&pool).publish_forever());
        tokio::time::sleep(Duration::from_millis(1)).await;
        for proxy in 0..10 {
            pool.on_report(&report(proxy, 1, 0)).expect("taken in");
        }
        assert_eq!(sequence(&pool), 1);
        for proxy in 0..10 {
            pool.on_report(&report(proxy, 2, 50_000)).expect("taken in");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(sequence(&pool), 2);
        let newest = pool.newest().expect("published");
        assert_eq!(
            newest
                .table
                .endpoints
                .first()
                .and_then(|row| row.pending_tokens),
            Some(500_000)
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(sequence(&pool), 2, "no news, no table before its time");
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn many_proxies_get_fewer_tables_so_that_traffic_is_bounded() {
        let pool = pool("10ms");
        for proxy in 0..9_000 {
            pool.on_report(&Report {
                endpoints: Vec::new(),
                ..report(proxy, 1, 0)
            })
            .expect("taken in");
        }
        let gap = pool.publish();
        let bytes = pool.newest().expect("published").bytes.len() as f64;
        let expected_s = bytes * 9_000.0 / TRAFFIC_BYTES_PER_S;
        assert!(
            expected_s > 0.02,
            "the test needs enough proxies: {expected_s}"
        );
        assert!(
            (gap.as_secs_f64() - expected_s).abs() < 1e-6,
            "{gap:?}, expected {expected_s} s"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_says_what_it_lacks() {
        let pool = pool("100ms");
        assert_eq!(
            pool.missing().as_deref(),
            Some("pool chat: no table published yet")
        );
        let _ = pool.publish();
        assert_eq!(pool.missing(), None);
    }
}
