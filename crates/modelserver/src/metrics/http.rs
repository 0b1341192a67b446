//! The metrics of the HTTP layer: the families of `prometheus-fastapi-instrumentator`, which vLLM
//! installs.

use super::exposition::{Exposition, Labels, escape};
use super::histogram::Histogram;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const HIGHR_S: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0,
    7.5, 10.0, 30.0, 60.0,
];
const LOWR_S: &[f64] = &[0.1, 0.5, 1.0];

/// Counts per route. Routes are those of the router, so that no client can add one.
#[derive(Debug)]
pub(crate) struct HttpStats {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    requests: BTreeMap<(&'static str, String, String), u64>,
    /// Per (route, method).
    routes: BTreeMap<(String, &'static str), Route>,
    highr: Histogram,
}

#[derive(Debug)]
struct Route {
    duration: Histogram,
    request_bytes: f64,
    response_bytes: f64,
}

/// One answered request.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// The route's pattern. `none` for an unknown path.
    pub(crate) route: &'a str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    /// Seconds until the response's head.
    pub(crate) duration_s: f64,
    /// `Content-Length` of the request and of the response. 0 when there is none, as in the
    /// original.
    pub(crate) request_bytes: f64,
    pub(crate) response_bytes: f64,
}

impl HttpStats {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            requests: BTreeMap::new(),
            routes: BTreeMap::new(),
            highr: Histogram::new(Cow::Borrowed(HIGHR_S)),
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn observe(&self, exchange: &Exchange<'_>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let class = format!("{}xx", exchange.status / 100);
        let key = (exchange.method, class, exchange.route.to_owned());
        *inner.requests.entry(key).or_default() += 1;
        inner.highr.observe(exchange.duration_s);
        let route = inner
            .routes
            .entry((exchange.route.to_owned(), exchange.method))
            .or_insert_with(|| Route {
                duration: Histogram::new(Cow::Borrowed(LOWR_S)),
                request_bytes: 0.0,
                response_bytes: 0.0,
            });
        route.duration.observe(exchange.duration_s);
        route.request_bytes += exchange.request_bytes;
        route.response_bytes += exchange.response_bytes;
    }

    pub(super) fn render(&self, page: &mut Exposition<'_>) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let requests: Vec<(String, f64)> = inner
            .requests
            .iter()
            .map(|((method, class, route), count)| {
                (
                    format!(
                        "handler=\"{}\",method=\"{method}\",status=\"{class}\"",
                        escape(route)
                    ),
                    *count as f64,
                )
            })
            .collect();
        page.counter(
            "http_requests",
            "Total number of requests by method, status and handler.",
            &requests,
        );
        let sizes = |bytes: fn(&Route) -> f64| -> Vec<(String, f64, f64)> {
            let mut by_handler: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
            for ((route, _), stats) in &inner.routes {
                let entry = by_handler.entry(route).or_default();
                entry.0 += stats.duration.count() as f64;
                entry.1 += bytes(stats);
            }
            by_handler
                .into_iter()
                .map(|(route, (n, b))| (format!("handler=\"{}\"", escape(route)), n, b))
                .collect()
        };
        page.summary(
            "http_request_size_bytes",
            "Content length of incoming requests by handler. Only value of header is respected. Otherwise ignored. No percentile calculated. ",
            &sizes(|route| route.request_bytes),
        );
        page.summary(
            "http_response_size_bytes",
            "Content length of outgoing responses by handler. Only value of header is respected. Otherwise ignored. No percentile calculated. ",
            &sizes(|route| route.response_bytes),
        );
        page.histogram(
            "http_request_duration_highr_seconds",
            "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ",
            Labels { before_le: "", after_le: "" },
            &inner.highr,
        );
        let labels: Vec<(String, String)> = inner
            .routes
            .keys()
            .map(|(route, method)| {
                (
                    format!("handler=\"{}\",", escape(route)),
                    format!("method=\"{method}\","),
                )
            })
            .collect();
        let series: Vec<_> = labels
            .iter()
            .zip(inner.routes.values())
            .map(|((before_le, after_le), route)| {
                (
                    Labels {
                        before_le,
                        after_le,
                    },
                    &route.duration,
                )
            })
            .collect();
        page.histograms(
            "http_request_duration_seconds",
            "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. ",
            &series,
        );
    }
}
