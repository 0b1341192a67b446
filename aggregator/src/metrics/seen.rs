//! What proxies saw: how long answers took per pool, how wrong predictions were, and errors per
//! pool and endpoint.
//!
//! Memory is bounded. A pool has three histograms, whatever its size. Only endpoints of the pool
//! that had errors have series of their own, at most [`MAX_ENDPOINTS`] of them. Nothing is decided
//! by these numbers, so a proxy that lies distorts only them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use trimtab_loadtable::json::PredictionsView;
use trimtab_loadtable::{ErrorKind, Report, seen};

use super::{Number, Page};

/// How many endpoints of one pool have series of their own.
const MAX_ENDPOINTS: usize = 256;

type Errors = [u64; ErrorKind::ALL.len()];

/// A histogram with the buckets of the reports.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    buckets: [Number; seen::BUCKETS],
    sum_ms: Number,
}

/// The numbers of one pool.
#[derive(Debug, Default)]
pub(crate) struct SeenMetrics {
    pub(super) first_byte: Sketch,
    pub(super) end: Sketch,
    pub(super) prediction_error: Sketch,
    predicted_ms: Number,
    predicted_seen_ms: Number,
    errors: Mutex<BySender>,
}

#[derive(Debug, Default)]
struct BySender {
    pool: Errors,
    endpoints: BTreeMap<String, Errors>,
}

impl SeenMetrics {
    /// Adds what an accepted report says. `knows` says whether an address is an endpoint of the
    /// pool.
    pub(crate) fn add(&self, report: &Report, knows: impl Fn(&str) -> bool) {
        for row in report.endpoints.iter().filter(|row| !row.seen.is_empty()) {
            for one in &row.seen {
                let count = u64::from(one.count);
                match one.kind {
                    seen::FIRST_BYTE_SUM_MS => self.first_byte.sum_ms.add(count),
                    seen::END_SUM_MS => self.end.sum_ms.add(count),
                    seen::PREDICTED_SUM_MS => self.predicted_ms.add(count),
                    seen::PREDICTED_SEEN_SUM_MS => self.predicted_seen_ms.add(count),
                    seen::PREDICTION_ERROR_SUM_MS => self.prediction_error.sum_ms.add(count),
                    kind if kind < seen::END => self.first_byte.add(kind, count),
                    kind if kind < seen::FIRST_BYTE_SUM_MS => self.end.add(kind - seen::END, count),
                    kind if kind >= seen::PREDICTION_ERROR => {
                        self.prediction_error
                            .add(kind - seen::PREDICTION_ERROR, count);
                    }
                    kind => self.add_error(&row.address, kind, count, &knows),
                }
            }
        }
    }

    fn add_error(&self, address: &str, kind: u8, count: u64, knows: impl Fn(&str) -> bool) {
        // A newer proxy may send kinds that are not known here.
        let Some(at) = ErrorKind::ALL.iter().position(|one| *one as u8 == kind) else {
            return;
        };
        let mut errors = self.lock();
        let add = |errors: &mut Errors| {
            if let Some(sum) = errors.get_mut(at) {
                *sum = sum.saturating_add(count);
            }
        };
        add(&mut errors.pool);
        let full = errors.endpoints.len() >= MAX_ENDPOINTS;
        match errors.endpoints.get_mut(address) {
            Some(errors) => add(errors),
            None if full || !knows(address) => {}
            None => add(errors.endpoints.entry(address.to_owned()).or_default()),
        }
    }

    /// Returns the mean predicted and seen times. `None`: no proxy has reported a prediction.
    pub(crate) fn predictions(&self) -> Option<PredictionsView> {
        let requests = self.prediction_error.count();
        let mean = |sum: &Number| (sum.get() as f64 / requests as f64 * 10.0).round() / 10.0;
        (requests > 0).then(|| PredictionsView {
            requests,
            predicted_ms: mean(&self.predicted_ms),
            seen_ms: mean(&self.predicted_seen_ms),
        })
    }

    /// Forgets endpoints that have left the pool.
    pub(crate) fn retain(&self, knows: impl Fn(&str) -> bool) {
        self.lock().endpoints.retain(|address, _| knows(address));
    }

    /// Ignores a poisoned lock. A panic under the lock would be a bug, and wrong counts are better
    /// than none.
    fn lock(&self) -> MutexGuard<'_, BySender> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sketch {
    fn add(&self, bucket: u8, count: u64) {
        if let Some(bucket) = self.buckets.get(usize::from(bucket)) {
            bucket.add(count);
        }
    }

    fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(Number::get);
        counts.fold(0, u64::saturating_add)
    }
}

impl Page<'_> {
    // Writing to a String cannot fail, so the results of `write!` are dropped.
    pub(super) fn sketch(&mut self, name: &str, help: &str, read: fn(&SeenMetrics) -> &Sketch) {
        self.sketch_where(name, help, read, |_| true);
    }

    /// As `sketch`, but leaves out pools without any value: "no prediction" differs from "no
    /// error".
    pub(super) fn sketch_if_any(
        &mut self,
        name: &str,
        help: &str,
        read: fn(&SeenMetrics) -> &Sketch,
    ) {
        self.sketch_where(name, help, read, |sketch| sketch.count() > 0);
    }

    fn sketch_where(
        &mut self,
        name: &str,
        help: &str,
        read: fn(&SeenMetrics) -> &Sketch,
        shows: fn(&Sketch) -> bool,
    ) {
        self.family(name, "histogram", help);
        let sketches = self
            .pools
            .iter()
            .map(|(pool, _)| (&pool.pool, read(&pool.seen)));
        for (pool, sketch) in sketches.filter(|(_, sketch)| shows(sketch)) {
            let bounds = seen::BOUNDS_MS.map(|ms| (f64::from(ms) / 1e3).to_string());
            let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
            let mut count = 0_u64;
            for (bound, bucket) in bounds.zip(&sketch.buckets) {
                count = count.saturating_add(bucket.get());
                let _ = writeln!(
                    self.text,
                    "trimtab_aggregator_{name}_bucket{{pool=\"{pool}\",le=\"{bound}\"}} {count}"
                );
            }
            let sum = sketch.sum_ms.get() as f64 / 1e3;
            let _ = writeln!(
                self.text,
                "trimtab_aggregator_{name}_sum{{pool=\"{pool}\"}} {sum}\ntrimtab_aggregator_{name}_count{{pool=\"{pool}\"}} {count}"
            );
        }
    }

    pub(super) fn errors(&mut self) {
        let kinds = ErrorKind::ALL.map(ErrorKind::as_str);
        self.family(
            "errors_total",
            "counter",
            "Requests that went wrong at an endpoint, by kind, as proxies saw it.",
        );
        for (pool, _) in self.pools {
            for (kind, count) in kinds.iter().zip(pool.seen.lock().pool) {
                let _ = writeln!(
                    self.text,
                    "trimtab_aggregator_errors_total{{pool=\"{}\",kind=\"{kind}\"}} {count}",
                    pool.pool
                );
            }
        }
        self.family(
            "endpoint_errors_total",
            "counter",
            "The same for endpoints that had any.",
        );
        for (pool, _) in self.pools {
            for (endpoint, errors) in &pool.seen.lock().endpoints {
                for (kind, count) in kinds.iter().zip(errors).filter(|(_, count)| **count > 0) {
                    let _ = writeln!(
                        self.text,
                        "trimtab_aggregator_endpoint_errors_total{{pool=\"{}\",endpoint=\"{endpoint}\",kind=\"{kind}\"}} {count}",
                        pool.pool
                    );
                }
            }
        }
    }
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
        let page = render(&[(pool, None)]);
        for line in [
            "ttft_seconds_bucket{pool=\"chat\",le=\"0.004\"} 1",
            "ttft_seconds_bucket{pool=\"chat\",le=\"0.091\"} 1",
            "ttft_seconds_bucket{pool=\"chat\",le=\"0.128\"} 4",
            "ttft_seconds_bucket{pool=\"chat\",le=\"+Inf\"} 4",
            "ttft_seconds_sum{pool=\"chat\"} 0.35",
            "ttft_seconds_count{pool=\"chat\"} 4",
            "duration_seconds_bucket{pool=\"chat\",le=\"131.072\"} 0",
            "duration_seconds_bucket{pool=\"chat\",le=\"+Inf\"} 1",
            "duration_seconds_sum{pool=\"chat\"} 200",
        ] {
            let line = format!("trimtab_aggregator_{line}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
    }

    #[test]
    fn wrong_predictions_are_a_histogram_where_there_were_any() {
        let (pool, other) = (PoolMetrics::new("chat"), PoolMetrics::new("code"));
        let page = || render(&[(Arc::clone(&pool), None), (Arc::clone(&other), None)]);
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
        let lines = render(&[(PoolMetrics::new("chat"), None)]).lines().count();
        for _ in 0..1_000 {
            pool.seen.add(&report("a:1", &all), |_| true);
        }
        let found = pool.seen.predictions().expect("some were told");
        assert!(found.predicted_ms.is_finite() && found.seen_ms.is_finite());
        let page = render(&[(pool, None)]);
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
        let page = render(&[(Arc::clone(&pool), None)]);
        assert!(page.contains(
            "trimtab_aggregator_errors_total{pool=\"chat\",kind=\"server_error\"} 2002\n"
        ));
        let own = page
            .lines()
            .filter(|line| line.starts_with("trimtab_aggregator_endpoint_errors_total{"));
        assert_eq!(own.count(), 3 * MAX_ENDPOINTS);
        assert!(!page.contains("10.9.9.9"));
        pool.seen.retain(|address| address == "10.0.0.1:0007");
        let page = render(&[(pool, None)]);
        assert_eq!(page.matches("endpoint=\"10.0.0.1:0007\"").count(), 3);
        assert_eq!(page.matches("endpoint=\"").count(), 3);
    }
}
