//! The aggregator's own metrics, as a page of Prometheus' text format.
//!
//! - **Comes in:** counts and times of every pool ([`PoolMetrics`]) and listener, under typed
//!   labels ([`labels`]).
//! - **Goes out:** the page ([`render`]), which `docs/metrics.md` is generated from.
//! - **Never:** a series without a bound. Labels are pools, fixed words and a bounded number of
//!   endpoints.

pub(crate) mod labels;
mod page;
mod seen;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram::Histogram;
use trimtab_loadtable::State;

use labels::{Answered, ByLabel, Came, Handshake, Judged, Refused, Reload, Scraped};
pub use page::example_page;
pub(crate) use page::render;
pub(crate) use seen::SeenMetrics;

/// Upper bounds of the scrape histogram, in seconds.
const SCRAPE_BOUNDS_S: [f64; 7] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// A gauge of whole numbers.
pub(crate) type Gauge = gauge::Gauge<u64, AtomicU64>;

/// The numbers of one listener. [`page`] says what each of them means.
#[derive(Debug)]
pub(crate) struct ListenerMetrics {
    /// The first of its roles, as in `proxies`.
    pub(crate) listener: &'static str,
    pub(crate) callers: ByLabel<Judged, Counter>,
    pub(crate) handshakes: ByLabel<Handshake, Counter>,
    pub(crate) reloads: ByLabel<Reload, Counter>,
}

impl ListenerMetrics {
    pub(crate) fn new(listener: &'static str) -> Arc<Self> {
        Arc::new(Self {
            listener,
            callers: ByLabel::default(),
            handshakes: ByLabel::default(),
            reloads: ByLabel::default(),
        })
    }
}

/// The numbers of one pool. [`page`] says what each of them means.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    pub(crate) pool: String,
    pub(crate) scrapes: ByLabel<Scraped, Counter>,
    pub(crate) whole_pages: Counter,
    pub(crate) scrape_bytes: Counter,
    scrape_seconds: Histogram,
    pub(crate) discovery_errors: Counter,
    pub(crate) reports: ByLabel<Came, Counter>,
    pub(crate) reports_refused: ByLabel<Refused, Counter>,
    pub(crate) syncs: ByLabel<Answered, Counter>,
    pub(crate) waiting_syncs: Gauge,
    endpoints: ByLabel<State, Gauge>,
    pub(crate) proxies: Gauge,
    pub(crate) table_sequence: Gauge,
    pub(crate) table_bytes: Gauge,
    pub(crate) table_failures: Counter,
    pub(crate) tables_kept_back: Counter,
    build_microseconds: Counter,
    pub(crate) seen: SeenMetrics,
}

impl PoolMetrics {
    pub(crate) fn new(pool: &str) -> Arc<Self> {
        Arc::new(Self {
            pool: pool.to_owned(),
            scrapes: ByLabel::default(),
            whole_pages: Counter::default(),
            scrape_bytes: Counter::default(),
            scrape_seconds: Histogram::new(SCRAPE_BOUNDS_S),
            discovery_errors: Counter::default(),
            reports: ByLabel::default(),
            reports_refused: ByLabel::default(),
            syncs: ByLabel::default(),
            waiting_syncs: Gauge::default(),
            endpoints: ByLabel::default(),
            proxies: Gauge::default(),
            table_sequence: Gauge::default(),
            table_bytes: Gauge::default(),
            table_failures: Counter::default(),
            tables_kept_back: Counter::default(),
            build_microseconds: Counter::default(),
            seen: SeenMetrics::default(),
        })
    }

    pub(crate) fn scraped(&self, took: Duration) {
        self.scrape_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn built(&self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.build_microseconds.inc_by(microseconds);
    }

    /// Sets the number of rows in each state, as of the newest table.
    ///
    /// - `rows`: returns the number of rows in a state.
    pub(crate) fn set_states(&self, rows: impl Fn(State) -> usize) {
        for (state, gauge) in self.endpoints.iter() {
            gauge.set(rows(state) as u64);
        }
    }
}
