//! The aggregator's own metrics, as Prometheus text.
//!
//! The text is written by hand: some thirty families do not need a registry. Labels are pools,
//! fixed words and a bounded number of endpoints.

mod seen;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use seen::SeenMetrics;

/// Upper bounds of the scrape histogram, in seconds.
const SCRAPE_BOUNDS_S: [f64; 7] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// A counter, or a gauge that is set.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one family that differ in one label. The label has few values.
#[derive(Debug)]
pub(crate) struct Labelled<const N: usize> {
    values: [(&'static str, Number); N],
}

impl<const N: usize> Labelled<N> {
    fn new(names: [&'static str; N]) -> Self {
        Self {
            values: names.map(|name| (name, Number::default())),
        }
    }

    /// Adds one to the counter of `name`. A name that is not listed counts under the last one.
    pub(crate) fn count(&self, name: &str) {
        let found = self
            .values
            .iter()
            .find(|(known, _)| *known == name)
            .or_else(|| self.values.last());
        if let Some((_, number)) = found {
            number.add(1);
        }
    }
}

/// The numbers of one pool.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    pub(crate) pool: String,
    pub(crate) scrapes: Labelled<13>,
    pub(crate) whole_pages: Number,
    pub(crate) scrape_bytes: Number,
    scrape_us: Number,
    scrape_buckets: [Number; SCRAPE_BOUNDS_S.len()],
    scrape_count: Number,
    pub(crate) discovery_errors: Number,
    pub(crate) reports: Labelled<3>,
    pub(crate) reports_refused: Labelled<6>,
    pub(crate) syncs: Labelled<4>,
    pub(crate) waiting_syncs: Number,
    pub(crate) endpoints: Labelled<3>,
    pub(crate) proxies: Number,
    pub(crate) table_sequence: Number,
    pub(crate) table_bytes: Number,
    pub(crate) table_failures: Number,
    pub(crate) tables_kept_back: Number,
    pub(crate) build_us: Number,
    pub(crate) seen: SeenMetrics,
}

impl PoolMetrics {
    pub(crate) fn new(pool: &str) -> Arc<Self> {
        Arc::new(Self {
            pool: pool.to_owned(),
            scrapes: Labelled::new([
                "ok",
                "connect",
                "tls",
                "timeout",
                "late",
                "status",
                "redirect",
                "compressed",
                "token",
                "too_large",
                "broken",
                "no_signals",
                "other",
            ]),
            whole_pages: Number::default(),
            scrape_bytes: Number::default(),
            scrape_us: Number::default(),
            scrape_buckets: Default::default(),
            scrape_count: Number::default(),
            discovery_errors: Number::default(),
            reports: Labelled::new(["sync", "news", "late"]),
            reports_refused: Labelled::new([
                "invalid",
                "too_large",
                "old",
                "too_many_proxies",
                "too_many_endpoints",
                "other",
            ]),
            syncs: Labelled::new(["table", "no_news", "refused", "other"]),
            waiting_syncs: Number::default(),
            endpoints: Labelled::new(["ready", "draining", "suspect"]),
            proxies: Number::default(),
            table_sequence: Number::default(),
            table_bytes: Number::default(),
            table_failures: Number::default(),
            tables_kept_back: Number::default(),
            build_us: Number::default(),
            seen: SeenMetrics::default(),
        })
    }

    pub(crate) fn scraped(&self, took: Duration) {
        self.scrape_count.add(1);
        self.scrape_us
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for (bound, bucket) in SCRAPE_BOUNDS_S.iter().zip(&self.scrape_buckets) {
            if took.as_secs_f64() <= *bound {
                bucket.add(1);
            }
        }
    }

    /// Sets the number of rows in each state, as of the newest table.
    pub(crate) fn set_states(&self, ready: usize, draining: usize, suspect: usize) {
        for ((_, number), count) in self.endpoints.values.iter().zip([ready, draining, suspect]) {
            number.set(count as u64);
        }
    }
}

/// Renders the page of all pools. The duration is the age of a pool's newest table.
pub(crate) fn render(pools: &[(Arc<PoolMetrics>, Option<Duration>)]) -> String {
    let mut page = Page {
        text: String::with_capacity(4096),
        pools,
    };
    page.labelled(
        "scrapes_total",
        "counter",
        "Scrapes of model servers by outcome.",
        "result",
        |m| &m.scrapes.values,
    );
    page.histogram();
    page.single(
        "scrape_bytes_total",
        "counter",
        "Bytes of pages read.",
        |m| m.scrape_bytes.get(),
    );
    page.single(
        "scrape_whole_pages_total",
        "counter",
        "Pages read whole because the server cannot select series.",
        |m| m.whole_pages.get(),
    );
    page.single(
        "discovery_errors_total",
        "counter",
        "Failed attempts to list endpoints; the last good list stays.",
        |m| m.discovery_errors.get(),
    );
    page.labelled(
        "endpoints",
        "gauge",
        "Endpoints in the newest table by state.",
        "state",
        |m| &m.endpoints.values,
    );
    page.single(
        "table_sequence",
        "gauge",
        "Sequence of the newest table.",
        |m| m.table_sequence.get(),
    );
    page.single("table_bytes", "gauge", "Bytes of the newest table.", |m| {
        m.table_bytes.get()
    });
    page.single(
        "table_build_microseconds_total",
        "counter",
        "Time spent on building and encoding tables.",
        |m| m.build_us.get(),
    );
    page.single(
        "table_failures_total",
        "counter",
        "Tables that could not be published; the last one stays.",
        |m| m.table_failures.get(),
    );
    page.single(
        "tables_kept_back_total",
        "counter",
        "Tables that told nothing new and so were not published; there is one each half second in any case.",
        |m| m.tables_kept_back.get(),
    );
    page.ages();
    page.single(
        "proxies",
        "gauge",
        "Proxies that have reported lately.",
        |m| m.proxies.get(),
    );
    page.labelled(
        "syncs_total",
        "counter",
        "Answers to proxies.",
        "answer",
        |m| &m.syncs.values,
    );
    page.single(
        "waiting_syncs",
        "gauge",
        "Calls of proxies that wait for a newer table.",
        |m| m.waiting_syncs.get(),
    );
    page.labelled(
        "reports_total",
        "counter",
        "Reports that were taken in, by how they came; late: another one of the same proxy had overtaken it.",
        "kind",
        |m| &m.reports.values,
    );
    page.labelled(
        "reports_refused_total",
        "counter",
        "Reports that were not taken in.",
        "reason",
        |m| &m.reports_refused.values,
    );
    page.sketch(
        "ttft_seconds",
        "Time from placement to the first byte of the answer's body, as proxies saw it.",
        |seen| &seen.first_byte,
    );
    page.sketch(
        "duration_seconds",
        "Time from placement to the end of whole answers, as proxies saw it.",
        |seen| &seen.end,
    );
    page.sketch_if_any(
        "prediction_error_seconds",
        "Difference between the predicted time to the first byte and the one that proxies saw, of streamed answers; absent before any was told.",
        |seen| &seen.prediction_error,
    );
    page.errors();
    page.text
}

struct Page<'a> {
    text: String,
    pools: &'a [(Arc<PoolMetrics>, Option<Duration>)],
}

impl Page<'_> {
    // Writing to a String cannot fail, so the results of `write!` are dropped.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.text,
            "# HELP trimtab_aggregator_{name} {help}\n# TYPE trimtab_aggregator_{name} {kind}"
        );
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, read: impl Fn(&PoolMetrics) -> u64) {
        self.family(name, kind, help);
        for (pool, _) in self.pools {
            let _ = writeln!(
                self.text,
                "trimtab_aggregator_{name}{{pool=\"{}\"}} {}",
                pool.pool,
                read(pool)
            );
        }
    }

    fn labelled(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        read: impl Fn(&PoolMetrics) -> &[(&'static str, Number)],
    ) {
        self.family(name, kind, help);
        for (pool, _) in self.pools {
            for (value, number) in read(pool) {
                let _ = writeln!(
                    self.text,
                    "trimtab_aggregator_{name}{{pool=\"{}\",{label}=\"{value}\"}} {}",
                    pool.pool,
                    number.get()
                );
            }
        }
    }

    fn histogram(&mut self) {
        self.family(
            "scrape_seconds",
            "histogram",
            "Time of successful and failed scrapes.",
        );
        for (pool, _) in self.pools {
            let name = &pool.pool;
            for (bound, bucket) in SCRAPE_BOUNDS_S.iter().zip(&pool.scrape_buckets) {
                let _ = writeln!(
                    self.text,
                    "trimtab_aggregator_scrape_seconds_bucket{{pool=\"{name}\",le=\"{bound}\"}} {}",
                    bucket.get()
                );
            }
            let (count, sum) = (pool.scrape_count.get(), pool.scrape_us.get() as f64 / 1e6);
            let _ = writeln!(
                self.text,
                "trimtab_aggregator_scrape_seconds_bucket{{pool=\"{name}\",le=\"+Inf\"}} {count}"
            );
            let _ = writeln!(
                self.text,
                "trimtab_aggregator_scrape_seconds_sum{{pool=\"{name}\"}} {sum}"
            );
            let _ = writeln!(
                self.text,
                "trimtab_aggregator_scrape_seconds_count{{pool=\"{name}\"}} {count}"
            );
        }
    }

    fn ages(&mut self) {
        self.family(
            "table_age_seconds",
            "gauge",
            "Time since the newest table was published; absent before the first.",
        );
        for (pool, age) in self.pools {
            if let Some(age) = age {
                let _ = writeln!(
                    self.text,
                    "trimtab_aggregator_table_age_seconds{{pool=\"{}\"}} {}",
                    pool.pool,
                    age.as_secs_f64()
                );
            }
        }
    }
}
