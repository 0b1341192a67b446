//! Answers of every form that servers send.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

/// Time between two pieces.
const PAUSE: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_millis(300);

const JSON: &str = r#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":4}}"#;
const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const COMMENT: &str = ": keep-alive\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"instructions\":\"be brief\",\"output\":[]}}\n\n";
const PROGRESS: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}],\"prompt_progress\":{\"total\":200,\"processed\":100}}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"the engine is dead\",\"type\":\"internal_error\",\"code\":500}}\n\n";

/// An answer in pieces.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Time before the answer.
    pub(crate) late: Duration,
    media: &'static str,
    pieces: Vec<String>,
}

impl Answer {
    /// Returns an answer in one piece.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap(),
            late: Duration::ZERO,
            media: "application/json",
            pieces: vec![body.to_owned()],
        }
    }

    fn events(pieces: &[&str]) -> Self {
        Self {
            media: "text/event-stream",
            pieces: pieces.iter().map(ToString::to_string).collect(),
            ..Self::json(200, "")
        }
    }

    /// Returns the length of its body in bytes.
    pub(crate) fn length(&self) -> usize {
        self.pieces.iter().map(String::len).sum()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let media = [(header::CONTENT_TYPE, self.media)];
        if let [whole] = self.pieces.as_slice() {
            return (self.status, media, whole.clone()).into_response();
        }
        let pieces = stream::unfold(self.pieces.into_iter(), |mut rest| async {
            let piece = rest.next()?;
            tokio::time::sleep(PAUSE).await;
            Some((Ok::<_, Infallible>(Bytes::from(piece)), rest))
        });
        (self.status, media, Body::from_stream(pieces)).into_response()
    }
}

/// Returns one of nine forms, in turn.
pub(crate) fn of_kind(number: u32) -> Answer {
    match number % 9 {
        0 => Answer::json(200, JSON),
        1 => Answer::events(&[COMMENT, PING, ROLE, WORD, WORD, DONE]),
        2 => Answer::events(&[CREATED, PING, COMMENT, WORD, DONE]),
        3 => {
            let lines = [COMMENT, ROLE, WORD, WORD, DONE].map(|event| event.replace('\n', "\r\n"));
            Answer::events(&lines.each_ref().map(String::as_str))
        }
        4 => Answer::events(&[PROGRESS, PROGRESS, PROGRESS, WORD, DONE]),
        5 => Answer::events(&[ROLE, ERROR, DONE]),
        6 => Answer {
            late: LATE,
            ..Answer::json(200, JSON)
        },
        7 => Answer {
            late: LATE,
            ..Answer::events(&[ROLE, WORD, DONE])
        },
        _ => {
            // Cut as a proxy on the way may cut it: within lines, names and marks.
            let whole = [COMMENT, CREATED, ROLE, WORD, DONE].concat();
            let pieces = whole.as_bytes().chunks(7).map(String::from_utf8_lossy);
            let pieces: Vec<String> = pieces.map(String::from).collect();
            Answer::events(&pieces.iter().map(String::as_str).collect::<Vec<_>>())
        }
    }
}

/// Returns a response that the server keeps.
pub(crate) fn response(name: &str, streams: bool) -> Answer {
    let response = format!(
        "{{\"id\":\"{name}\",\"object\":\"response\",\"status\":\"completed\",\"output\":[{{\"type\":\"message\",\"content\":[{{\"type\":\"output_text\",\"text\":\"word\"}}]}}]}}"
    );
    if !streams {
        return Answer::json(200, &response);
    }
    let event = |kind: &str, rest: &str| {
        format!("event: response.{kind}\ndata: {{\"type\":\"response.{kind}\",{rest}}}\n\n")
    };
    Answer::events(&[
        COMMENT,
        &event(
            "created",
            &format!("\"response\":{{\"id\":\"{name}\",\"status\":\"in_progress\",\"output\":[]}}"),
        ),
        PING,
        &event("output_text.delta", "\"delta\":\"word\""),
        &event("completed", &format!("\"response\":{response}")),
    ])
}

/// Returns the answer for a response that the server does not have.
pub(crate) fn not_found(name: &str) -> Answer {
    let error = format!("{{\"error\":{{\"message\":\"Response with id '{name}' not found.\"}}}}");
    Answer::json(404, &error)
}
