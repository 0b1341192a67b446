//! Routes for people and their tools: pools and tables, without the placement key.

use super::body::{PROTOBUF, age_ms, protobuf};
use super::{MOST_REASONS, Refused, Shared};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use std::sync::Arc;
use trimtab_loadtable::json::TableView;

const JSON: &str = "application/json";
/// The path of a pool's table.
pub(super) const TABLE: &str = "/v1/pools/{pool}/table";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/pools", get(pools))
        .route(TABLE, table())
}

/// Returns the handler that answers with a table as JSON or protobuf.
pub(super) fn table() -> MethodRouter<Arc<Shared>> {
    get(newest_table)
}

/// Answers at once with the newest table.
async fn newest_table(
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
        protobuf(&published.keyless(), published.at)
    }
}

/// Whether `Accept` names JSON before protobuf, or JSON alone. Weights are not read: these callers
/// do not send them.
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

/// Lists all pools, and what each lacks.
async fn pools(State(shared): State<Arc<Shared>>) -> Response {
    let list: Vec<serde_json::Value> = shared
        .registry
        .all()
        .iter()
        .map(|pool| {
            let newest = pool.newest();
            let version = newest.as_ref().map(|published| published.version);
            serde_json::json!({
                "name": pool.name,
                "endpoints": newest.as_ref().map_or(0, |published| published.table.endpoints.len()),
                "epoch": version.map(|version| format!("{:016x}", version.epoch)),
                "sequence": version.map(|version| version.sequence),
                "missing": pool.missing(),
                "notes": pool.notes(),
                "reasons": pool.reasons.first(MOST_REASONS),
                "predictions": pool.metrics.seen.predictions(),
            })
        })
        .collect();
    axum::Json(serde_json::json!({ "pools": list })).into_response()
}
