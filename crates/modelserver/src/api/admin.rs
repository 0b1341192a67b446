//! The routes other than generation: models, adapters, health, metrics.

use super::Shared;
use super::error::ApiError;
use crate::driver::Command;
use crate::metrics::{Scrape, render};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

/// The content type of the current Python client on vLLM's own route.
const TEXT: &str = "text/plain; version=1.0.0; charset=utf-8";

pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

pub(super) async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}

pub(super) async fn models(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let created = shared.started_unix_s;
    let base = json!({
        "id": shared.spec.model, "object": "model", "created": created, "owned_by": "vllm", "root": shared.spec.model,
        "parent": null, "max_model_len": shared.context_tokens, "permission": [],
    });
    let adapters = shared
        .adapters
        .read()
        .unwrap_or_else(PoisonError::into_inner);
    let adapters = adapters.iter().map(|(name, adapter)| {
        json!({
            "id": name, "object": "model", "created": created, "owned_by": "vllm", "root": adapter.path,
            "parent": shared.spec.model, "max_model_len": null, "permission": [],
        })
    });
    let data: Vec<Value> = std::iter::once(base).chain(adapters).collect();
    Json(json!({"object": "list", "data": data}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AdapterBody {
    lora_name: String,
    lora_path: String,
}

impl AdapterBody {
    fn parse(bytes: &Bytes) -> Result<Self, ApiError> {
        serde_json::from_slice(bytes).map_err(|error| {
            ApiError::bad_request(None, format!("The body is not a valid request: {error}."))
        })
    }
}

pub(super) async fn load_adapter(
    State(shared): State<Arc<Shared>>,
    bytes: Bytes,
) -> Result<String, ApiError> {
    let body = AdapterBody::parse(&bytes)?;
    if shared.spec.profile.adapter_slots == 0 {
        return Err(ApiError::bad_request(
            None,
            "LoRA is off on this server; give it adapter_slots.",
        ));
    }
    let mut adapters = shared
        .adapters
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    if body.lora_name == shared.spec.model {
        return Err(ApiError::bad_request(
            Some("lora_name"),
            "The base model has this name.",
        ));
    }
    adapters
        .load(&body.lora_name, &body.lora_path)
        .map_err(|error| ApiError::bad_request(Some("lora_name"), error.to_string()))?;
    Ok(format!(
        "Success: LoRA adapter '{}' added successfully.",
        body.lora_name
    ))
}

pub(super) async fn unload_adapter(
    State(shared): State<Arc<Shared>>,
    bytes: Bytes,
) -> Result<String, ApiError> {
    let name = AdapterBody::parse(&bytes)?.lora_name;
    let id = shared
        .adapters
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .unload(&name);
    let missing = || {
        ApiError::not_found(
            Some("lora_name"),
            format!("The lora adapter '{name}' cannot be found."),
        )
    };
    // The driver ends only with the server.
    let _ = shared
        .commands
        .send(Command::EvictAdapter(id.ok_or_else(missing)?));
    Ok(format!(
        "Success: LoRA adapter '{name}' removed successfully."
    ))
}

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    page(&shared, Scrape::Whole)
}

pub(super) async fn metrics_named(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let names: BTreeSet<String> = query
        .into_iter()
        .filter(|(key, _)| key == "name[]")
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() {
        page(&shared, Scrape::Whole)
    } else {
        page(&shared, Scrape::Named(&names))
    }
}

fn page(shared: &Shared, scrape: Scrape<'_>) -> Response {
    let observed = shared
        .observed
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let text = render(&shared.page, &observed, &shared.http, scrape);
    drop(observed);
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}
