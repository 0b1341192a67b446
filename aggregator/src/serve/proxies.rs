//! Routes for proxies: reports come in, tables go out.

use super::body::protobuf;
use super::{Refused, Shared};
use crate::metrics::PoolMetrics;
use crate::metrics::labels::{self, Answered, Came};
use crate::pool::publication::Published;
use crate::pool::state::PoolState;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;
use std::time::Duration;
use trimtab_estimate::Accepted;
use trimtab_loadtable::{Report, Version, limits};

/// Header: the sequence of the asking proxy's newest report that the table has taken in.
const REPORT: &str = "x-trimtab-report";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/pools/{pool}/sync", post(sync))
        .route("/v1/pools/{pool}/report", post(urgent_report))
}

/// Takes in a proxy's report. Answers as soon as there is a table that the proxy does not have.
async fn sync(State(shared): State<Arc<Shared>>, Path(name): Path<String>, body: Body) -> Response {
    let pool = match shared.pool(&name) {
        Ok(pool) => pool,
        Err(refused) => return refused.into_response(),
    };
    let report = match report(&pool, body).await {
        Ok(report) => report,
        Err(refused) => {
            pool.metrics.syncs.count(Answered::Refused);
            return refused.into_response();
        }
    };
    // The pool may refuse a report. Its sender still does better with a table than without.
    take_in(&pool, &report, Came::Sync);
    let wait = Duration::from_millis(report.wait_ms.min(limits::WAIT_MS).into());
    match newer_table(&shared, &pool, report.have, wait).await {
        Some(published) => {
            pool.metrics.syncs.count(Answered::Table);
            let bytes = pool.bytes_for(&published, report.have);
            let mut response = protobuf(&bytes, published.at);
            if let Some(sequence) = published.included.get(&report.proxy) {
                let headers = response.headers_mut();
                headers.insert(REPORT, HeaderValue::from(*sequence));
            }
            response
        }
        None => {
            pool.metrics.syncs.count(Answered::NoNews);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

/// Takes in a report that did not wait for the proxy's next sync. The answer has no table: the sync
/// under way brings it.
async fn urgent_report(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    body: Body,
) -> Response {
    let pool = match shared.pool(&name) {
        Ok(pool) => pool,
        Err(refused) => return refused.into_response(),
    };
    match report(&pool, body).await {
        Ok(report) => {
            take_in(&pool, &report, Came::News);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

fn take_in(pool: &PoolState, report: &Report, came: Came) {
    match pool.on_report(report) {
        Ok(Accepted::Newest | Accepted::Urgent) => pool.metrics.reports.count(came),
        Ok(Accepted::Late) => pool.metrics.reports.count(Came::Late),
        Err(refusal) => pool.metrics.reports_refused.count(refusal.into()),
    }
}

async fn report(pool: &PoolState, body: Body) -> Result<Report, Refused> {
    let refuse = |reason: labels::Refused, why: String| {
        pool.metrics.reports_refused.count(reason);
        Refused(StatusCode::BAD_REQUEST, why)
    };
    let bytes = axum::body::to_bytes(body, limits::REPORT_BYTES)
        .await
        .map_err(|_| {
            let why = format!(
                "the report broke off or is larger than {} bytes",
                limits::REPORT_BYTES
            );
            refuse(labels::Refused::TooLarge, why)
        })?;
    let report = Report::decode(&bytes)
        .map_err(|error| refuse(labels::Refused::Invalid, error.to_string()))?;
    if report.pool == pool.name {
        Ok(report)
    } else {
        Err(refuse(
            labels::Refused::Invalid,
            format!(
                "the report is of pool {}, the path says {}",
                report.pool, pool.name
            ),
        ))
    }
}

/// Waits for a table newer than `have`, and returns the newest. `None`: `wait` is over, there is no
/// place to wait, or the pool or the aggregator ends.
async fn newer_table(
    shared: &Shared,
    pool: &PoolState,
    have: Option<Version>,
    wait: Duration,
) -> Option<Arc<Published>> {
    let mut tables = pool.subscribe();
    // Another epoch is another aggregator, so any table of this one is newer.
    let is_newer = |table: &Option<Arc<Published>>| {
        table.as_ref().is_some_and(|table| {
            have.is_none_or(|have| have.epoch != table.version.epoch || table.version > have)
        })
    };
    let now = tables.borrow_and_update().clone();
    if is_newer(&now) {
        return now;
    }
    let _place = pool.places.try_acquire().ok()?;
    let _waiting = Waiting::new(Arc::clone(&pool.metrics));
    let (mut stopping, mut ended) = (shared.stopping.clone(), pool.ended());
    tokio::select! {
        newer = tables.wait_for(is_newer) => newer.ok()?.clone(),
        _ = stopping.wait_for(|stop| *stop) => None,
        _ = ended.wait_for(|ended| *ended) => None,
        () = tokio::time::sleep(wait) => None,
    }
}

/// Counts a waiting call until it is dropped, also when its client goes away.
struct Waiting(Arc<PoolMetrics>);

impl Waiting {
    fn new(metrics: Arc<PoolMetrics>) -> Self {
        metrics.waiting_syncs.inc();
        Self(metrics)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting_syncs.dec();
    }
}
