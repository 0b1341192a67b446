//! The HTTP side: OpenAI's API as vLLM serves it.

mod admin;
mod body;
mod ending;
mod error;
mod generate;
mod kinds;
mod limits;
mod prepare;
mod receive;
mod render;
mod responses;
mod sse;

use crate::adapters::Adapters;
use crate::driver::Command;
use crate::metrics::{Config, Exchange, HttpStats, Observed};
use crate::spec::Spec;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// The state that all handlers of one server share.
#[derive(Debug)]
pub(crate) struct Shared {
    spec: Spec,
    context_tokens: u32,
    commands: mpsc::UnboundedSender<Command>,
    observed: Arc<Mutex<Observed>>,
    adapters: Arc<RwLock<Adapters>>,
    http: HttpStats,
    page: Config,
    started_unix_s: u64,
    started: Instant,
    /// Secret key of the block hashes and of the ids of answers.
    key: u64,
    next_id: AtomicU64,
    /// Sequences that have not ended.
    sequences: AtomicUsize,
    responses: Mutex<responses::Store>,
}

impl Shared {
    pub(crate) fn new(
        spec: Spec,
        commands: mpsc::UnboundedSender<Command>,
        observed: Arc<Mutex<Observed>>,
        adapters: Arc<RwLock<Adapters>>,
    ) -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            context_tokens: spec.context_tokens(),
            page: Config::new(&spec, started.as_secs_f64()),
            started_unix_s: started.as_secs(),
            started: Instant::now(),
            // The standard library seeds this from the system's entropy.
            key: std::hash::RandomState::new().hash_one(0u8),
            http: HttpStats::new(),
            next_id: AtomicU64::new(0),
            sequences: AtomicUsize::new(0),
            responses: Mutex::default(),
            spec,
            commands,
            observed,
            adapters,
        }
    }
}

/// Returns all routes of a server.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/completions", post(generate::completions))
        .route("/v1/chat/completions", post(generate::chat))
        .route("/v1/responses", post(responses::create))
        .route(
            "/v1/responses/{id}",
            get(responses::retrieve).delete(responses::delete),
        )
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route(
            "/v1/responses/{id}/input_items",
            get(responses::input_items),
        )
        .route("/v1/models", get(admin::models))
        .route("/v1/load_lora_adapter", post(admin::load_adapter))
        .route("/v1/unload_lora_adapter", post(admin::unload_adapter))
        .route("/health", get(admin::health))
        .route("/ping", get(admin::health).post(admin::health))
        .route("/version", get(admin::version))
        .route("/metrics", get(admin::metrics))
        .route("/metrics/", get(admin::metrics_named))
        .fallback(error::unknown_route)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(from_fn_with_state(shared.clone(), receive::whole_body))
        // `receive` has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(shared.clone(), count))
        .with_state(shared)
}

/// Counts requests for the `http_*` families, if the page shows them.
async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if !shared.spec.metrics.full {
        return next.run(request).await;
    }
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        _ => "other",
    };
    let (begun, request_bytes) = (Instant::now(), content_length(request.headers()));
    let response = next.run(request).await;
    shared.http.observe(&Exchange {
        route: &route,
        method,
        status: response.status().as_u16(),
        duration_s: begun.elapsed().as_secs_f64(),
        request_bytes,
        response_bytes: content_length(response.headers()),
    });
    response
}

fn content_length(headers: &HeaderMap) -> f64 {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse().ok())
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests;
