//! The page: every family, its help, and which numbers of a pool it shows.
//!
//! Pools come and go, and some series are only there when there is something to tell. So the page
//! is written by a [`Collector`] over the pools of this moment. Rejected: one `Family` per metric
//! for all pools. Its series come in any order, and a pool that ends while another of its name
//! begins would take the series of that one with it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use trimtab_loadtable::{EndpointReport, ErrorKind, Report, Seen, What};

use super::labels::{ByLabel, Label};
use super::seen::{SeenMetrics, Sketch};
use super::{ListenerMetrics, PoolMetrics};

/// What all names begin with.
const PREFIX: &str = "trimtab_aggregator";
/// Name of the label that every series of a pool has.
const POOL: &str = "pool";
/// Name of the label that every series of a listener has.
const LISTENER: &str = "listener";

/// A pool, and the age of its newest table. Absent: it has published none.
pub(crate) type PoolAndAge = (Arc<PoolMetrics>, Option<Duration>);

/// Renders the page of all pools and listeners, in the text format 0.0.4.
pub(crate) fn render(pools: Vec<PoolAndAge>, listeners: Vec<Arc<ListenerMetrics>>) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(All { pools, listeners }));
    let mut text = String::with_capacity(4096);
    // Writing to a String cannot fail, and neither can these values.
    let _ = encode(&mut text, &registry);
    text
}

/// Renders the page of a pool that has something to tell in every family, for generated documents.
#[must_use]
pub fn example_page() -> String {
    let pool = PoolMetrics::new("POOL");
    let kinds = ErrorKind::ALL.map(What::Error);
    let seen = kinds.into_iter().chain([What::PredictionError(0)]);
    let row = EndpointReport {
        address: "ENDPOINT".into(),
        seen: seen
            .map(|what| Seen {
                kind: what.kind(),
                count: 1,
            })
            .collect(),
        ..EndpointReport::default()
    };
    let report = Report {
        endpoints: vec![row],
        ..Report::default()
    };
    pool.seen.add(&report, |_| true);
    let listeners = vec![ListenerMetrics::new("proxies")];
    render(vec![(pool, Some(Duration::ZERO))], listeners)
}

#[derive(Debug)]
struct All {
    pools: Vec<PoolAndAge>,
    listeners: Vec<Arc<ListenerMetrics>>,
}

impl Collector for All {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page {
            encoder,
            pools: &self.pools,
            listeners: &self.listeners,
        };
        page.scrapes()?;
        page.tables()?;
        page.proxies()?;
        page.seen()?;
        page.callers()
    }
}

struct Page<'p, 'e> {
    encoder: DescriptorEncoder<'e>,
    pools: &'p [PoolAndAge],
    listeners: &'p [Arc<ListenerMetrics>],
}

impl Page<'_, '_> {
    fn scrapes(&mut self) -> fmt::Result {
        let help = "Scrapes of model servers by outcome.";
        self.labelled("scrapes", help, |pool| &pool.scrapes)?;
        let help = "Time of successful and failed scrapes.";
        self.single("scrape_seconds", help, |pool| &pool.scrape_seconds)?;
        let help = "Bytes of pages read.";
        self.single("scrape_bytes", help, |pool| &pool.scrape_bytes)?;
        let help = "Pages read whole because the server cannot select series.";
        self.single("scrape_whole_pages", help, |pool| &pool.whole_pages)?;
        let help = "Failed attempts to list endpoints; the last good list stays.";
        self.single("discovery_errors", help, |pool| &pool.discovery_errors)
    }

    fn tables(&mut self) -> fmt::Result {
        let help = "Endpoints in the newest table by state.";
        self.labelled("endpoints", help, |pool| &pool.endpoints)?;
        let help = "Sequence of the newest table.";
        self.single("table_sequence", help, |pool| &pool.table_sequence)?;
        let help = "Bytes of the newest table.";
        self.single("table_bytes", help, |pool| &pool.table_bytes)?;
        let help = "Time spent on building and encoding tables.";
        self.single("table_build_microseconds", help, |pool| {
            &pool.build_microseconds
        })?;
        let help = "Tables that could not be published; the last one stays.";
        self.single("table_failures", help, |pool| &pool.table_failures)?;
        let help = "Tables that told nothing new and so were not published; there is one each half second in any case.";
        self.single("tables_kept_back", help, |pool| &pool.tables_kept_back)?;
        self.ages()
    }

    fn ages(&mut self) -> fmt::Result {
        let help = "Time since the newest table was published; absent before the first.";
        let name = "table_age_seconds";
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (pool, age) in self.pools {
            if let Some(age) = age {
                let labels = [(POOL, pool.pool.as_str())];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&age.as_secs_f64())?;
            }
        }
        Ok(())
    }

    fn proxies(&mut self) -> fmt::Result {
        let help = "Proxies that have reported lately.";
        self.single("proxies", help, |pool| &pool.proxies)?;
        let help = "Answers to proxies.";
        self.labelled("syncs", help, |pool| &pool.syncs)?;
        let help = "Calls of proxies that wait for a newer table.";
        self.single("waiting_syncs", help, |pool| &pool.waiting_syncs)?;
        let help = "Reports that were taken in, by how they came; late: another one of the same proxy had overtaken it.";
        self.labelled("reports", help, |pool| &pool.reports)?;
        let help = "Reports that were not taken in.";
        self.labelled("reports_refused", help, |pool| &pool.reports_refused)
    }

    fn seen(&mut self) -> fmt::Result {
        let help = "Time from placement to the first byte of the answer's body, as proxies saw it.";
        self.single("ttft_seconds", help, |pool| &pool.seen.first_byte)?;
        let help = "Time from placement to the end of whole answers, as proxies saw it.";
        self.single("duration_seconds", help, |pool| &pool.seen.end)?;
        let help = "Difference between the predicted time to the first byte and the one that proxies saw, of streamed answers; absent before any was told.";
        // "No prediction" differs from "no error".
        self.some("prediction_error_seconds", help, |pool| {
            let sketch: &Sketch = &pool.seen.prediction_error;
            (sketch.count() > 0).then_some(sketch)
        })?;
        let help = "Requests that went wrong at an endpoint, by kind, as proxies saw it.";
        self.labelled("errors", help, |pool| &pool.seen.errors)?;
        self.endpoint_errors()
    }

    fn endpoint_errors(&mut self) -> fmt::Result {
        let help = "Requests that went wrong at this endpoint, by kind, as proxies saw it.";
        let name = "endpoint_errors";
        let mut family = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (pool, _) in self.pools {
            let seen: &SeenMetrics = &pool.seen;
            seen.each_endpoint(|endpoint, kind, counter| {
                let labels = [
                    (POOL, pool.pool.as_str()),
                    ("endpoint", endpoint),
                    (ErrorKind::NAME, kind.as_str()),
                ];
                counter.encode(family.encode_family(&labels)?)
            })?;
        }
        Ok(())
    }

    fn callers(&mut self) -> fmt::Result {
        let help = "Requests whose sender had to say who it is, by what became of it.";
        self.listening("callers", help, |one| &one.callers)?;
        let help = "TLS handshakes by how they ended.";
        self.listening("handshakes", help, |one| &one.handshakes)?;
        let help = "Changes of a listener's files: certificates, keys, CAs, secrets; failed: the former ones stay in use.";
        self.listening("reloads", help, |one| &one.reloads)
    }

    /// Writes a family of one series per listener and value of a label.
    fn listening<L: Label, M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        read: fn(&ListenerMetrics) -> &ByLabel<L, M>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, M::TYPE)?;
        for listener in self.listeners {
            for (value, metric) in read(listener).iter() {
                let labels = [(LISTENER, listener.listener), (L::NAME, value.as_str())];
                metric.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// Writes a family of one series per pool.
    fn single<M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        read: fn(&PoolMetrics) -> &M,
    ) -> fmt::Result {
        self.some(name, help, |pool| Some(read(pool)))
    }

    /// As `single`, but leaves out pools for which there is nothing to tell.
    fn some<M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        read: impl Fn(&PoolMetrics) -> Option<&M>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, M::TYPE)?;
        for (pool, _) in self.pools {
            if let Some(metric) = read(pool) {
                let labels = [(POOL, pool.pool.as_str())];
                metric.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// Writes a family of one series per pool and value of a label.
    fn labelled<L: Label, M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        read: fn(&PoolMetrics) -> &ByLabel<L, M>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, M::TYPE)?;
        for (pool, _) in self.pools {
            for (value, metric) in read(pool).iter() {
                let labels = [(POOL, pool.pool.as_str()), (L::NAME, value.as_str())];
                metric.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
