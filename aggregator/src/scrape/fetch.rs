//! One page over HTTP/1.1.

use crate::config::Scrape;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// Keeps one connection per target open between scrapes.
pub(crate) type Client = legacy::Client<HttpConnector, Empty<Bytes>>;

/// OpenMetrics is not asked for: Python's client then renames samples (and everything is read anyhow if a server insists).
const TEXT: HeaderValue = HeaderValue::from_static("text/plain;version=0.0.4");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("trimtab-aggregator/", env!("CARGO_PKG_VERSION")));

/// A client for all targets.
pub(crate) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(Duration::from_secs(60))
        .build(connector)
}

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Bytes,
    /// Its length was announced or it came in chunks, so that a cut would have been an error.
    pub(crate) complete: bool,
}

/// Why there is no sample.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("status {0}; check `scrape.path` and that the server exports metrics")]
    Status(u16),
    #[error("the page is larger than {0} bytes; raise `scrape.max_page_bytes`")]
    TooLarge(usize),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error(
        "the page of {0} bytes has neither queue, batch nor KV usage of a known engine; check `scrape.path` and `scrape.engine`"
    )]
    NoSignals(usize),
}

impl Failure {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
            Self::Broken(_) => "broken",
            Self::NoSignals(_) => "no_signals",
        }
    }
}

/// Fetches a page within the settings' timeout and size.
pub(crate) async fn get(client: &Client, uri: &Uri, settings: &Scrape) -> Result<Answer, Failure> {
    match tokio::time::timeout(
        settings.timeout,
        request(client, uri, settings.max_page_bytes),
    )
    .await
    {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Timeout(settings.timeout)),
    }
}

async fn request(client: &Client, uri: &Uri, max_bytes: usize) -> Result<Answer, Failure> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(ACCEPT, TEXT);
    request.headers_mut().insert(USER_AGENT, AGENT);
    let response = client
        .request(request)
        .await
        .map_err(|error| match error.is_connect() {
            true => Failure::Connect(cause(&error)),
            false => Failure::Broken(cause(&error)),
        })?;
    if response.status() != hyper::StatusCode::OK {
        return Err(Failure::Status(response.status().as_u16()));
    }
    let complete = response.headers().contains_key(CONTENT_LENGTH)
        || response.headers().contains_key(TRANSFER_ENCODING);
    let body = Limited::new(response.into_body(), max_bytes)
        .collect()
        .await;
    let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => Failure::TooLarge(max_bytes),
        None => Failure::Broken(error.to_string()),
    })?;
    Ok(Answer {
        bytes: body.to_bytes(),
        complete,
    })
}

/// The innermost error: "connection refused" helps, "client error (Connect)" does not.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
