//! Routes for health checks and Prometheus.

use super::{MOST_REASONS, Refused, Shared};
use crate::metrics::render;
use crate::pool::state::PoolState;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Answers 200 once all pools are known and each has listed its endpoints, tried to scrape each
/// once, and published a table. A line names each endpoint whose page is missing, with the reason.
/// Else answers 503, with one line for each thing that is missing.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let missing = shared.registry.missing();
    if !missing.is_empty() {
        return Refused(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n")).into_response();
    }
    let mut text = "ready\n".to_owned();
    for pool in shared.registry.all() {
        for (address, reason) in pool.reasons.first(MOST_REASONS) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "pool {}: {address}: {reason}", pool.name);
        }
    }
    text.into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let age = |pool: &PoolState| pool.newest().map(|published| published.at.elapsed());
    let pools: Vec<_> = shared
        .registry
        .all()
        .iter()
        .map(|pool| (Arc::clone(&pool.metrics), age(pool)))
        .collect();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        render(pools, shared.listeners.clone()),
    )
        .into_response()
}
