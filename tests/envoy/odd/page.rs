//! Metrics pages with faults that real ones have.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::joining::{from_the_first_request, missing};
use crate::support::gzip::gzip_stored;

/// The odd feature of a server's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// No samples before the first request, like TGI's.
    FromTheFirstRequest,
    /// HTML, and status 500 in turn.
    Unreadable,
    /// No page.
    Missing,
    /// The page is behind a redirection.
    Redirected,
    /// The page is compressed without a request for it.
    Compressed,
    /// One page of twenty does not come.
    Hangs,
    /// Queue and cache have old values; the counters are true.
    Stale,
    /// Two processes, each with its own series.
    TwoProcesses,
    /// The engine sleeps until it is woken.
    Sleeps,
    /// Every series is there twice.
    Twice,
    /// Values that are no numbers.
    NotANumber,
    /// The page ends within a line, and in turn within the transfer.
    Cut,
}

/// The state that a page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Requests that were answered.
    pub(crate) answered: u32,
    /// Requests that are being answered.
    pub(crate) open: u32,
    /// How often the page was requested.
    pub(crate) scrapes: u32,
    pub(crate) awake: bool,
}

impl Page {
    pub(crate) const ALL: [Self; 12] = [
        Self::FromTheFirstRequest,
        Self::Unreadable,
        Self::Missing,
        Self::Redirected,
        Self::Compressed,
        Self::Hangs,
        Self::Stale,
        Self::TwoProcesses,
        Self::Sleeps,
        Self::Twice,
        Self::NotANumber,
        Self::Cut,
    ];

    /// Whether no page of the server can be read. Only probes then send it requests.
    pub(crate) fn is_unreadable(self) -> bool {
        matches!(self, Self::Unreadable | Self::Missing | Self::Compressed)
    }

    /// Returns the page at `path`.
    pub(crate) async fn at(self, path: &str, now: Moment) -> Response {
        let honest = vllm("", now.open, 0, "0.1", now);
        match self {
            Self::FromTheFirstRequest => from_the_first_request(now.answered).into_response(),
            Self::Unreadable if now.scrapes.is_multiple_of(2) => {
                "<!doctype html><title>Welcome</title>".into_response()
            }
            Self::Unreadable => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Self::Missing => missing(now.answered).into_response(),
            Self::Redirected if path == "/metrics" => {
                Redirect::temporary("/metrics/").into_response()
            }
            Self::Compressed => {
                let gzip = [(header::CONTENT_ENCODING, "gzip")];
                (gzip, gzip_stored(honest.as_bytes())).into_response()
            }
            Self::Hangs if now.scrapes % 20 == 19 => {
                // Longer than the aggregator waits.
                tokio::time::sleep(Duration::from_secs(5)).await;
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            Self::Redirected | Self::Hangs => honest.into_response(),
            Self::Stale => vllm("", 3, 5, "0.97", now).into_response(),
            Self::TwoProcesses => two_processes(now).into_response(),
            Self::Sleeps => (honest + &sleep_state(now.awake)).into_response(),
            Self::Twice => honest.repeat(2).into_response(),
            Self::NotANumber => {
                let words = vllm(",rank=\"1\"", 0, 0, "NaN", now);
                honest.replace(" 0\n", " NaN\n").replace("0.1", "+Inf") + &words
            }
            .into_response(),
            Self::Cut if now.scrapes.is_multiple_of(2) => {
                honest[..honest.len() - 20].to_owned().into_response()
            }
            Self::Cut => broken(&honest[..honest.len() / 2]),
        }
    }
}

/// Returns a page of vLLM. `labels` are further labels, each with a comma before it.
fn vllm(labels: &str, running: u32, waiting: u32, kv_used: &str, now: Moment) -> String {
    let (prompt, generated) = (now.answered * 20, now.answered * 4);
    [
        ("num_requests_running", "gauge", running.to_string()),
        ("num_requests_waiting", "gauge", waiting.to_string()),
        ("kv_cache_usage_perc", "gauge", kv_used.to_owned()),
        ("prompt_tokens_total", "counter", prompt.to_string()),
        ("generation_tokens_total", "counter", generated.to_string()),
        ("request_success_total", "counter", now.answered.to_string()),
    ]
    .map(|(name, kind, value)| {
        format!("# TYPE vllm:{name} {kind}\nvllm:{name}{{model_name=\"m\"{labels}}} {value}\n")
    })
    .concat()
}

/// Returns a page of two processes. Odd requests belong to the first, even ones to the second.
fn two_processes(now: Moment) -> String {
    let half = |answered, open| Moment {
        answered,
        open,
        ..now
    };
    let first = half(now.answered.div_ceil(2), now.open.div_ceil(2));
    let second = half(now.answered / 2, now.open / 2);
    vllm(",pid=\"11\"", first.open, 0, "0.1", first)
        + &vllm(",pid=\"12\"", second.open, 0, "0.1", second)
}

fn sleep_state(awake: bool) -> String {
    let (awake, asleep) = (u8::from(awake), u8::from(!awake));
    format!(
        "# TYPE vllm:engine_sleep_state gauge\n\
         vllm:engine_sleep_state{{engine=\"0\",sleep_state=\"awake\"}} {awake}\n\
         vllm:engine_sleep_state{{engine=\"0\",sleep_state=\"weights_offloaded\"}} {asleep}\n"
    )
}

/// Breaks the connection at the end of the text.
fn broken(text: &str) -> Response {
    let begin = Ok(Bytes::copy_from_slice(text.as_bytes()));
    let end = async { Err(std::io::Error::other("the page breaks off")) };
    Body::from_stream(stream::iter([begin]).chain(stream::once(end))).into_response()
}
