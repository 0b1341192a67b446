//! The HTTP interface. docs/wire.md is its specification.

pub(crate) mod listen;

use crate::metrics::{PoolMetrics, render};
use crate::pool::state::{PoolState, Published};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use trimtab_estimate::Accepted;
use trimtab_loadtable::json::TableView;
use trimtab_loadtable::{Report, Version, limits};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// Most endpoints per pool of which it is said why they have no page.
const MOST_REASONS: usize = 200;
/// Says which report of the asking proxy the table has taken in.
const REPORT: &str = "x-trimtab-report";

/// What all handlers see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pools: BTreeMap<String, Arc<PoolState>>,
    /// Places for calls that wait; without one a call is answered at once.
    pub(crate) waiting: Semaphore,
    /// Turns true when the aggregator stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/pools", get(pools))
        .route("/v1/pools/{pool}/sync", post(sync))
        .route("/v1/pools/{pool}/report", post(news_of_a_proxy))
        .route("/v1/pools/{pool}/table", get(table))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

impl Shared {
    fn pool(&self, name: &str) -> Result<&Arc<PoolState>, Refused> {
        self.pools.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.pools.keys().map(String::as_str).collect();
            let why = format!("no such pool; this aggregator has: {}", known.join(", "));
            Refused(StatusCode::NOT_FOUND, why)
        })
    }
}

/// A status and a line that says why.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

/// Takes a proxy's report and answers with the newest table as soon as there is one that the proxy does not have.
async fn sync(State(shared): State<Arc<Shared>>, Path(name): Path<String>, body: Body) -> Response {
    let pool = match shared.pool(&name) {
        Ok(pool) => pool,
        Err(refused) => return refused.into_response(),
    };
    let report = match report(pool, body).await {
        Ok(report) => report,
        Err(refused) => {
            pool.metrics.syncs.count("refused");
            return refused.into_response();
        }
    };
    // A report too many or out of turn says nothing, but its sender still does better with a table than without.
    take_in(pool, &report, "sync");
    let wait = Duration::from_millis(report.wait_ms.min(limits::WAIT_MS).into());
    match news(&shared, pool, report.have, wait).await {
        Some(published) => {
            pool.metrics.syncs.count("table");
            let bytes = pool.bytes_for(&published, report.have);
            let mut response = protobuf(&bytes, published.at);
            if let Some(sequence) = published.included.get(&report.proxy) {
                let headers = response.headers_mut();
                headers.insert(REPORT, HeaderValue::from(*sequence));
            }
            response
        }
        None => {
            pool.metrics.syncs.count("no_news");
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

/// Takes a proxy's report that does not wait for its next sync; the sync under way brings the table.
async fn news_of_a_proxy(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    body: Body,
) -> Response {
    let pool = match shared.pool(&name) {
        Ok(pool) => pool,
        Err(refused) => return refused.into_response(),
    };
    match report(pool, body).await {
        Ok(report) => {
            take_in(pool, &report, "news");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

fn take_in(pool: &PoolState, report: &Report, kind: &str) {
    match pool.on_report(report) {
        Ok(Accepted::Newest | Accepted::Urgent) => pool.metrics.reports.count(kind),
        Ok(Accepted::Late) => pool.metrics.reports.count("late"),
        Err(refusal) => pool.metrics.reports_refused.count(refusal.as_str()),
    }
}

async fn report(pool: &PoolState, body: Body) -> Result<Report, Refused> {
    let refuse = |label: &str, why: String| {
        pool.metrics.reports_refused.count(label);
        Refused(StatusCode::BAD_REQUEST, why)
    };
    let bytes = axum::body::to_bytes(body, limits::REPORT_BYTES)
        .await
        .map_err(|_| {
            let why = format!(
                "the report broke off or is larger than {} bytes",
                limits::REPORT_BYTES
            );
            refuse("too_large", why)
        })?;
    let report = Report::decode(&bytes).map_err(|error| refuse("invalid", error.to_string()))?;
    if report.pool == pool.name {
        Ok(report)
    } else {
        Err(refuse(
            "invalid",
            format!(
                "the report is of pool {}, the path says {}",
                report.pool, pool.name
            ),
        ))
    }
}

/// The newest table once it differs from `have`; `None` when `wait` is over, there is no place to wait, or the aggregator stops.
async fn news(
    shared: &Shared,
    pool: &PoolState,
    have: Option<Version>,
    wait: Duration,
) -> Option<Arc<Published>> {
    let mut tables = pool.subscribe();
    // Another epoch is another aggregator: whatever it has is news.
    let is_news = |table: &Option<Arc<Published>>| {
        table.as_ref().is_some_and(|table| {
            have.is_none_or(|have| have.epoch != table.version.epoch || table.version > have)
        })
    };
    let now = tables.borrow_and_update().clone();
    if is_news(&now) {
        return now;
    }
    let _place = shared.waiting.try_acquire().ok()?;
    let _waiting = Waiting::new(Arc::clone(&pool.metrics));
    let mut stopping = shared.stopping.clone();
    tokio::select! {
        news = tables.wait_for(is_news) => news.ok()?.clone(),
        _ = stopping.wait_for(|stop| *stop) => None,
        () = tokio::time::sleep(wait) => None,
    }
}

/// Counts a waiting call, also when its client goes away and the call is dropped.
struct Waiting(Arc<PoolMetrics>);

impl Waiting {
    fn new(metrics: Arc<PoolMetrics>) -> Self {
        metrics.waiting_syncs.add(1);
        Self(metrics)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting_syncs.sub(1);
    }
}

/// The newest table at once.
async fn table(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let pool = match shared.pool(&name) {
        Ok(pool) => pool,
        Err(refused) => return refused.into_response(),
    };
    let Some(published) = pool.newest() else {
        let why = pool.missing().unwrap_or_else(|| "no table yet".to_owned());
        return Refused(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    if prefers_json(&headers) {
        let mut view = TableView::from(&published.table);
        view.age_ms = age_ms(published.at);
        view.predictions = pool.metrics.seen.predictions();
        for row in view.endpoints.iter_mut().filter(|row| row.doubt.is_some()) {
            row.reason = pool.reasons.of(row.address);
        }
        axum::Json(view).into_response()
    } else {
        protobuf(&published.bytes, published.at)
    }
}

/// Whether JSON stands before protobuf in `Accept`, or stands alone. Weights are not read: nobody sends them here.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match (accept.find(JSON), accept.find(PROTOBUF)) {
        (Some(json), Some(protobuf)) => json < protobuf,
        (json, None) => json.is_some(),
        (None, Some(_)) => false,
    }
}

fn age_ms(at: Instant) -> u32 {
    u32::try_from(at.elapsed().as_millis()).unwrap_or(u32::MAX)
}

fn protobuf(bytes: &Bytes, at: Instant) -> Response {
    let age_ms = age_ms(at);
    // A waiting proxy gets the shared bytes; one that comes late gets its own copy, which says how late.
    let bytes = if age_ms == 0 {
        bytes.clone()
    } else {
        Bytes::from(trimtab_loadtable::with_age(bytes, age_ms))
    };
    ([(CONTENT_TYPE, PROTOBUF)], bytes).into_response()
}

async fn pools(State(shared): State<Arc<Shared>>) -> Response {
    let list: Vec<serde_json::Value> = shared
        .pools
        .values()
        .map(|pool| {
            let newest = pool.newest();
            let version = newest.as_ref().map(|published| published.version);
            serde_json::json!({
                "name": pool.name,
                "endpoints": newest.as_ref().map_or(0, |published| published.table.endpoints.len()),
                "epoch": version.map(|version| format!("{:016x}", version.epoch)),
                "sequence": version.map(|version| version.sequence),
                "missing": pool.missing(),
                "reasons": pool.reasons.first(MOST_REASONS),
                "predictions": pool.metrics.seen.predictions(),
            })
        })
        .collect();
    axum::Json(serde_json::json!({ "pools": list })).into_response()
}

/// 200 when every pool's endpoints are listed and were scraped once, with a line for each that has no page in time; else 503 and one line per
/// thing that is missing.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let missing: Vec<String> = shared
        .pools
        .values()
        .filter_map(|pool| pool.missing())
        .collect();
    if missing.is_empty() {
        let mut text = "ready\n".to_owned();
        for (name, pool) in &shared.pools {
            for (address, reason) in pool.reasons.first(MOST_REASONS) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "pool {name}: {address}: {reason}");
            }
        }
        return text.into_response();
    }
    Refused(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n")).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let age = |pool: &PoolState| pool.newest().map(|published| published.at.elapsed());
    let pools: Vec<_> = shared
        .pools
        .values()
        .map(|pool| (Arc::clone(&pool.metrics), age(pool)))
        .collect();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        render(&pools),
    )
        .into_response()
}
