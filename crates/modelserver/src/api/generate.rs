//! `/v1/completions` and `/v1/chat/completions`.

use super::Shared;
use super::body::Body;
use super::ending::{finish_reason, usage};
use super::error::ApiError;
use super::kinds::{Choice, Kind};
use super::prepare::Job;
use super::sse::Events;
use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

pub(super) async fn completions(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    generate(shared, Kind::Completion, body).await
}

pub(super) async fn chat(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    generate(shared, Kind::Chat, body).await
}

async fn generate(shared: Arc<Shared>, kind: Kind, bytes: Bytes) -> Result<Response, ApiError> {
    let body = Body::parse(&bytes)?;
    drop(bytes);
    let streams = body.wants_stream();
    let job = Job::start(shared, kind, body)?;
    if streams {
        return Ok(event_stream(Events::new(job)));
    }
    complete(&job).await?;
    Ok(Json(whole(&job)).into_response())
}

/// Returns an answer whose body is server-sent events.
pub(super) fn event_stream<S>(events: S) -> Response
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let mut response = Response::new(HttpBody::from_stream(events));
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Waits for the last token of all choices.
pub(super) async fn complete(job: &Job) -> Result<(), ApiError> {
    let mut ended = 0;
    poll_fn(|context| {
        job.call.register(context);
        let ends = |part: usize, choice: &Choice| job.call.produced(part) >= choice.output_tokens;
        // Parts end in any order. Only look at those from the first that has not ended.
        while job
            .choices
            .get(ended)
            .is_some_and(|choice| ends(ended, choice))
        {
            ended += 1;
        }
        if ended == job.choices.len() {
            Poll::Ready(Ok(()))
        } else if job.call.has_failed() {
            Poll::Ready(Err(ApiError::stopped()))
        } else {
            Poll::Pending
        }
    })
    .await
}

fn whole(job: &Job) -> Value {
    let choices: Vec<Value> = job
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| choice_json(job.kind, index, choice))
        .collect();
    let object = if job.kind == Kind::Chat {
        "chat.completion"
    } else {
        "text_completion"
    };
    json!({
        "id": job.id, "object": object, "created": job.created_unix_s, "model": job.model, "choices": choices,
        "system_fingerprint": null, "usage": usage(job),
    })
}

fn choice_json(kind: Kind, index: usize, choice: &Choice) -> Value {
    let text = choice
        .answer
        .text(choice.output_tokens, kind == Kind::Completion);
    let finish = finish_reason(choice.finish);
    match kind {
        Kind::Chat | Kind::Response => json!({
            "index": index, "logprobs": null, "finish_reason": finish, "stop_reason": null,
            "message": {"role": "assistant", "content": text, "refusal": null, "tool_calls": []},
        }),
        Kind::Completion => json!({
            "index": index, "logprobs": null, "finish_reason": finish, "stop_reason": null, "text": text,
        }),
    }
}
