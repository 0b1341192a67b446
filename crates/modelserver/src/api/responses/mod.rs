//! `/v1/responses`: answers that the server remembers. The next turn can name the previous one
//! instead of sending it again.

mod events;
mod object;
mod request;
mod store;

pub(super) use store::Store;

use super::Shared;
use super::error::ApiError;
use super::generate::{complete, event_stream};
use super::kinds::Kind;
use super::prepare::Job;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use events::Events;
use object::{Outcome, Template};
use request::{Asked, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, MutexGuard, PoisonError};
use store::{CancelError, Entry};

/// Items of one page when the client gives no limit.
const PAGE_ITEMS: usize = 20;
/// Most items of one page.
const PAGE_LIMIT: usize = 100;

fn store(shared: &Shared) -> MutexGuard<'_, Store> {
    shared
        .responses
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let request = Request::parse(&bytes)?;
    drop(bytes);
    let history = match &request.previous_response_id {
        Some(id) => store(&shared)
            .history(id)
            .ok_or_else(|| previous_not_found(id))?,
        None => Vec::new(),
    };
    let (streams, in_background) = (request.wants_stream(), request.in_background());
    let (body, asked) = request.into_chat(history)?;
    let job = Job::start(shared, Kind::Response, body).map_err(in_terms_of_responses)?;
    let turn = Turn {
        template: Template::new(&job, &asked),
        asked,
    };
    if in_background {
        return Ok(Json(start_in_background(job, turn)).into_response());
    }
    if streams {
        return Ok(event_stream(Events::new(job, turn)));
    }
    complete(&job).await?;
    Ok(Json(turn.finish(&job)).into_response())
}

/// One request, and the form of its answer.
#[derive(Debug)]
struct Turn {
    template: Template,
    asked: Asked,
}

impl Turn {
    /// Returns the whole answer of a job that is done. Stores the answer if the client wants that.
    fn finish(self, job: &Job) -> Value {
        let response = self.template.value(Outcome::Done(job));
        if self.asked.store {
            let entry = Entry::new(&response, self.asked, object::text(job));
            store(&job.shared).insert(job.id.clone(), entry);
        }
        response
    }
}

/// Runs the job without the client, which asks for the answer later. Returns the queued response.
fn start_in_background(job: Job, turn: Turn) -> Value {
    let queued = turn.template.value(Outcome::Open("queued"));
    let (shared, id) = (job.shared.clone(), job.id.clone());
    let mut entry = Entry::new(&queued, turn.asked, String::new());
    let template = turn.template;
    let mut store_now = store(&shared);
    let task = tokio::spawn(async move {
        let outcome = match complete(&job).await {
            Ok(()) => Outcome::Done(&job),
            Err(_) => Outcome::Failed,
        };
        let response = template.value(outcome);
        store(&job.shared).finish(&job.id, &response, object::text(&job));
    });
    // The task can only end after this, because it needs the store, which is locked here.
    entry.task = Some(task.abort_handle());
    store_now.insert(id, entry);
    queued
}

pub(super) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let found = store(&shared).response(&id);
    found.map(Json).ok_or_else(|| not_found(&id))
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if !store(&shared).remove(&id) {
        return Err(not_found(&id));
    }
    Ok(Json(
        json!({"id": id, "object": "response.deleted", "deleted": true}),
    ))
}

pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let cancelled = store(&shared).cancel(&id);
    cancelled.map(Json).map_err(|error| match error {
        CancelError::Unknown => not_found(&id),
        CancelError::Synchronous => {
            ApiError::bad_request(Some("response_id"), "Cannot cancel a synchronous response.")
        }
    })
}

/// The query for a page of a response's input.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    limit: Option<usize>,
    order: Option<String>,
    after: Option<String>,
}

pub(super) async fn input_items(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(PAGE_ITEMS);
    if !(1..=PAGE_LIMIT).contains(&limit) {
        let message = format!("'limit' must be 1 to {PAGE_LIMIT}, got {limit}.");
        return Err(ApiError::bad_request(Some("limit"), message));
    }
    let mut items = store(&shared).items(&id).ok_or_else(|| not_found(&id))?;
    match page.order.as_deref() {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(other) => {
            let message = format!("'order' must be asc or desc, got {other:?}.");
            return Err(ApiError::bad_request(Some("order"), message));
        }
    }
    if let Some(after) = &page.after {
        let place = items.iter().position(|item| item["id"] == **after);
        items.drain(..place.map_or(items.len(), |place| place + 1));
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id_of = |item: Option<&Value>| item.map(|item| item["id"].clone());
    Ok(Json(json!({
        "object": "list", "first_id": id_of(items.first()), "last_id": id_of(items.last()), "has_more": has_more, "data": items,
    })))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(
        Some("response_id"),
        format!("Response with id '{id}' not found."),
    )
}

fn previous_not_found(id: &str) -> ApiError {
    ApiError::not_found(
        Some("previous_response_id"),
        format!("Previous response with id '{id}' not found."),
    )
}

/// Renames the fields of a chat in an error: they have other names here.
fn in_terms_of_responses(error: ApiError) -> ApiError {
    let param = match error.param {
        Some("messages" | "prompt") => Some("input"),
        Some("max_tokens") => Some("max_output_tokens"),
        other => other,
    };
    ApiError { param, ..error }
}

#[cfg(test)]
pub(super) fn chat_of(bytes: &Bytes) -> Result<super::body::Body, ApiError> {
    Ok(Request::parse(bytes)?.into_chat(Vec::new())?.0)
}
