//! What proxies saw: how long answers took per pool, how wrong predictions were, and errors per
//! pool and endpoint.
//!
//! Memory is bounded. A pool has three histograms, whatever its size. Only endpoints of the pool
//! that had errors have series of their own, at most [`MAX_ENDPOINTS`] of them. Nothing is decided
//! by these numbers, so a proxy that lies distorts only them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};
use trimtab_loadtable::json::PredictionsView;
use trimtab_loadtable::{ErrorKind, Report, What, seen};

use super::labels::ByLabel;

/// How many endpoints of one pool have series of their own.
const MAX_ENDPOINTS: usize = 256;

type Errors = ByLabel<ErrorKind, Counter>;

/// A histogram with the buckets of the reports. Reports bring counts by bucket, and no values that
/// the crate's own histogram could observe.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    buckets: [Counter; seen::BUCKETS],
    sum_ms: Counter,
}

/// The numbers of one pool.
#[derive(Debug, Default)]
pub(crate) struct SeenMetrics {
    pub(super) first_byte: Sketch,
    pub(super) end: Sketch,
    pub(super) prediction_error: Sketch,
    pub(super) errors: Errors,
    predicted_ms: Counter,
    predicted_seen_ms: Counter,
    endpoints: Mutex<BTreeMap<String, Errors>>,
}

impl SeenMetrics {
    /// Adds what an accepted report says. `knows` says whether an address is an endpoint of the
    /// pool.
    pub(crate) fn add(&self, report: &Report, knows: impl Fn(&str) -> bool) {
        for row in &report.endpoints {
            for one in &row.seen {
                // A newer proxy may send kinds that are not known here.
                let Some(what) = What::of(one.kind) else {
                    continue;
                };
                let count = u64::from(one.count);
                match what {
                    What::FirstByte(bucket) => self.first_byte.add(bucket, count),
                    What::FirstByteSum => self.first_byte.add_ms(count),
                    What::End(bucket) => self.end.add(bucket, count),
                    What::EndSum => self.end.add_ms(count),
                    What::Error(kind) => self.add_error(&row.address, kind, count, &knows),
                    What::PredictedSum => {
                        self.predicted_ms.inc_by(count);
                    }
                    What::PredictedSeenSum => {
                        self.predicted_seen_ms.inc_by(count);
                    }
                    What::PredictionErrorSum => self.prediction_error.add_ms(count),
                    What::PredictionError(bucket) => self.prediction_error.add(bucket, count),
                }
            }
        }
    }

    fn add_error(&self, address: &str, kind: ErrorKind, count: u64, knows: impl Fn(&str) -> bool) {
        self.errors.count_many(kind, count);
        let mut endpoints = self.lock();
        let full = endpoints.len() >= MAX_ENDPOINTS;
        match endpoints.get(address) {
            Some(errors) => errors.count_many(kind, count),
            None if full || !knows(address) => {}
            None => {
                let errors = endpoints.entry(address.to_owned()).or_default();
                errors.count_many(kind, count);
            }
        }
    }

    /// Returns the mean predicted and seen times. `None`: no proxy has reported a prediction.
    pub(crate) fn predictions(&self) -> Option<PredictionsView> {
        let requests = self.prediction_error.count();
        let mean = |sum: &Counter| (sum.get() as f64 / requests as f64 * 10.0).round() / 10.0;
        (requests > 0).then(|| PredictionsView {
            requests,
            predicted_ms: mean(&self.predicted_ms),
            seen_ms: mean(&self.predicted_seen_ms),
        })
    }

    /// Forgets endpoints that have left the pool.
    pub(crate) fn retain(&self, knows: impl Fn(&str) -> bool) {
        self.lock().retain(|address, _| knows(address));
    }

    /// Calls `show` with the errors of each endpoint, by kind, but for those that it has not had.
    pub(super) fn each_endpoint(
        &self,
        mut show: impl FnMut(&str, ErrorKind, &Counter) -> fmt::Result,
    ) -> fmt::Result {
        for (endpoint, errors) in &*self.lock() {
            let had = errors.iter().filter(|(_, counter)| counter.get() > 0);
            for (kind, counter) in had {
                show(endpoint, kind, counter)?;
            }
        }
        Ok(())
    }

    /// Ignores a poisoned lock. A panic under the lock would be a bug, and wrong counts are better
    /// than none.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Errors>> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sketch {
    fn add(&self, bucket: u8, count: u64) {
        if let Some(bucket) = self.buckets.get(usize::from(bucket)) {
            bucket.inc_by(count);
        }
    }

    fn add_ms(&self, ms: u64) {
        self.sum_ms.inc_by(ms);
    }

    pub(super) fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(Counter::get);
        counts.fold(0, u64::saturating_add)
    }
}

impl EncodeMetric for Sketch {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = seen::BOUNDS_MS.map(|ms| f64::from(ms) / 1e3).into_iter();
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(Counter::get);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum_s = self.sum_ms.get() as f64 / 1e3;
        // The page must be one of a moment, so the count is that of these buckets.
        let count = buckets.iter().map(|(_, count)| *count);
        let count = count.fold(0, u64::saturating_add);
        encoder.encode_histogram::<NoLabelSet>(sum_s, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Sketch {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::{PoolMetrics, render};
    use trimtab_loadtable::{EndpointReport, Seen};

    fn report(address: &str, seen: &[(u8, u32)]) -> Report {
        let seen = seen.iter().map(|(kind, count)| Seen {
            kind: *kind,
            count: *count,
        });
        Report {
            endpoints: vec![EndpointReport {
                address: address.into(),
                seen: seen.collect(),
                ..EndpointReport::default()
            }],
            ..Report::default()
        }
    }

    #[test]
    fn sketches_of_all_reports_are_one_cumulative_histogram() {
        let pool = PoolMetrics::new("chat");
        pool.seen.add(
            &report("a:1", &[(0, 1), (10, 2), (64, 230), (63, 1), (65, 200_000)]),
            |_| true,
        );
        pool.seen
            .add(&report("b:1", &[(10, 1), (64, 120)]), |_| true);
        let page = render(vec![(pool, None)], Vec::new());
        for line in [
            "ttft_seconds_bucket{pool=\"chat\",le=\"0.004\"} 1",
            "ttft_seconds_bucket{pool=\"chat\",le=\"0.091\"} 1",
            "ttft_seconds_bucket{pool=\"chat\",le=\"0.128\"} 4",
            "ttft_seconds_bucket{pool=\"chat\",le=\"+Inf\"} 4",
            "ttft_seconds_sum{pool=\"chat\"} 0.35",
            "ttft_seconds_count{pool=\"chat\"} 4",
            "duration_seconds_bucket{pool=\"chat\",le=\"131.072\"} 0",
            "duration_seconds_bucket{pool=\"chat\",le=\"+Inf\"} 1",
            "duration_seconds_sum{pool=\"chat\"} 200.0",
        ] {
            let line = format!("trimtab_aggregator_{line}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
    }

    #[test]
    fn wrong_predictions_are_a_histogram_where_there_were_any() {
        let (pool, other) = (PoolMetrics::new("chat"), PoolMetrics::new("code"));
        let page = || {
            render(
                vec![(Arc::clone(&pool), None), (Arc::clone(&other), None)],
                Vec::new(),
            )
        };
        let begin = "trimtab_aggregator_prediction_error_seconds";
        assert!(!page().lines().any(|line| line.starts_with(begin)));
        assert_eq!(pool.seen.predictions(), None);
        // Predicted 400 and seen 300 ms; predicted 250 and seen 255 ms.
        let two = [(71, 650), (72, 555), (73, 105), (97, 1), (106, 1)];
        pool.seen.add(&report("a:1", &two), |_| true);
        let found = page();
        for line in [
            "_bucket{pool=\"chat\",le=\"0.004\"} 0",
            "_bucket{pool=\"chat\",le=\"0.006\"} 1",
            "_bucket{pool=\"chat\",le=\"0.091\"} 1",
            "_bucket{pool=\"chat\",le=\"0.128\"} 2",
            "_bucket{pool=\"chat\",le=\"+Inf\"} 2",
            "_sum{pool=\"chat\"} 0.105",
            "_count{pool=\"chat\"} 2",
        ] {
            assert!(found.contains(&format!("{begin}{line}\n")), "{line}{found}");
        }
        assert!(!found.contains(&format!("{begin}_count{{pool=\"code\"}}")));
        let expected = PredictionsView {
            requests: 2,
            predicted_ms: 325.0,
            seen_ms: 277.5,
        };
        assert_eq!(pool.seen.predictions(), Some(expected));
    }

    #[test]
    fn the_wildest_report_costs_other_series_nothing() {
        let pool = PoolMetrics::new("chat");
        let most = trimtab_loadtable::limits::SEEN_COUNT;
        let all: Vec<(u8, u32)> = (71..128).map(|kind| (kind, most)).collect();
        let lines = render(vec![(PoolMetrics::new("chat"), None)], Vec::new())
            .lines()
            .count();
        for _ in 0..1_000 {
            pool.seen.add(&report("a:1", &all), |_| true);
        }
        let found = pool.seen.predictions().expect("some were told");
        assert!(found.predicted_ms.is_finite() && found.seen_ms.is_finite());
        let page = render(vec![(pool, None)], Vec::new());
        // The buckets, sum and count of the prediction errors.
        assert_eq!(page.lines().count(), lines + seen::BUCKETS + 2);
        assert!(page.contains("ttft_seconds_count{pool=\"chat\"} 0\n"));
    }

    #[test]
    fn errors_are_counted_by_kind_and_for_a_bounded_number_of_endpoints_of_the_pool() {
        let pool = PoolMetrics::new("chat");
        let errors = [(66, 1), (68, 2), (70, 3), (74, 9), (95, 9)];
        for number in 0..1_000 {
            pool.seen
                .add(&report(&format!("10.0.0.1:{number:04}"), &errors), |_| true);
        }
        pool.seen.add(&report("10.9.9.9:1", &errors), |_| false);
        let page = render(vec![(Arc::clone(&pool), None)], Vec::new());
        assert!(page.contains(
            "trimtab_aggregator_errors_total{pool=\"chat\",kind=\"server_error\"} 2002\n"
        ));
        let own = page
            .lines()
            .filter(|line| line.starts_with("trimtab_aggregator_endpoint_errors_total{"));
        assert_eq!(own.count(), 3 * MAX_ENDPOINTS);
        assert!(!page.contains("10.9.9.9"));
        pool.seen.retain(|address| address == "10.0.0.1:0007");
        let page = render(vec![(pool, None)], Vec::new());
        assert_eq!(page.matches("endpoint=\"10.0.0.1:0007\"").count(), 3);
        assert_eq!(page.matches("endpoint=\"").count(), 3);
    }
}
