//! One page over HTTP/1.1.

use super::client::{Client, Error};
use super::tls;
use crate::config::Scrape;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, LOCATION,
    TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Request, Response, Uri};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use trimtab_estimate::Missed;

/// OpenMetrics is not asked for: Python's client then renames samples (and everything is read anyhow if a server insists).
const TEXT: HeaderValue = HeaderValue::from_static("text/plain;version=0.0.4");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("trimtab-aggregator/", env!("CARGO_PKG_VERSION")));

/// From one path of a server to the next; `/metrics` to `/metrics/` is one.
const MOST_REDIRECTS: usize = 3;

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
    #[error("TLS: {0}")]
    Tls(String),
    #[error(
        "what answers there speaks TLS and no plain HTTP; write `scrape.scheme: https`, or https:// in `metrics_url`"
    )]
    NeedsTls,
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("status {0}; {hint}", hint = hint(*.0))]
    Status(u16),
    #[error(
        "the server sends us to {0:?}, which is not on the same host, or to another page each time; set `scrape.path`, or the endpoint's `metrics_url`"
    )]
    Redirect(String),
    #[error("the page is compressed ({0}), which nobody asked for; turn that off for this page")]
    Compressed(String),
    #[error("`scrape.bearer_token_file` {0}: {1}")]
    Token(String, String),
    #[error("the page is larger than {0} bytes; raise `scrape.max_page_bytes`")]
    TooLarge(usize),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error(
        "the page of {0} bytes has neither queue, batch nor KV usage of a known engine; check `scrape.path` and `scrape.engine`"
    )]
    NoSignals(usize),
}

/// What an operator can do about a status.
fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "the page is for those who say who they are; set `scrape.bearer_token_file`",
        _ => "check `scrape.path` and that the server exports metrics",
    }
}

impl Failure {
    /// What it says of the server behind the page.
    pub(crate) fn missed(&self) -> Missed {
        match self {
            Self::Connect(_) | Self::Timeout(_) => Missed::Unreachable,
            _ => Missed::Unreadable,
        }
    }

    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) | Self::NeedsTls => "tls",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "status",
            Self::Redirect(_) => "redirect",
            Self::Compressed(_) => "compressed",
            Self::Token(..) => "token",
            Self::TooLarge(_) => "too_large",
            Self::Broken(_) => "broken",
            Self::NoSignals(_) => "no_signals",
        }
    }
}

/// Fetches a page within the settings' timeout and size, also where the server names another path of its own for it.
pub(crate) async fn get(client: &Client, uri: &Uri, settings: &Scrape) -> Result<Answer, Failure> {
    let deadline = Instant::now() + settings.timeout;
    let outcome = match tokio::time::timeout_at(deadline, follow(client, uri, settings)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Timeout(settings.timeout)),
    };
    // A server of TLS answers plain HTTP by closing, by bytes that are none, or by 400.
    let looks_like_tls = matches!(
        outcome,
        Err(Failure::Connect(_) | Failure::Broken(_) | Failure::Status(400))
    );
    if looks_like_tls && uri.scheme_str() == Some("http") {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let asked = tls::is_spoken(host, uri.port_u16().unwrap_or(80));
        if tokio::time::timeout_at(deadline, asked).await == Ok(true) {
            return Err(Failure::NeedsTls);
        }
    }
    outcome
}

async fn follow(client: &Client, uri: &Uri, settings: &Scrape) -> Result<Answer, Failure> {
    let credentials = match &settings.bearer_token_file {
        Some(file) => Some(credentials(file).await?),
        None => None,
    };
    let mut at = uri.clone();
    for _ in 0..=MOST_REDIRECTS {
        let response = request(client, &at, credentials.as_ref()).await?;
        match redirection(&response, &at) {
            Some(to) => at = to?,
            None => return page(response, settings.max_page_bytes).await,
        }
    }
    Err(Failure::Redirect(at.to_string()))
}

/// The header that says who asks, read anew each time because tokens expire.
async fn credentials(file: &Path) -> Result<HeaderValue, Failure> {
    let why = |why: String| Failure::Token(file.display().to_string(), why);
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let token = read.map_err(|error| why(error.to_string()))?;
    let token = token.map_err(|error| why(error.to_string()))?;
    let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut value = value.map_err(|_| why("it holds more than a line of text".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn request(
    client: &Client,
    uri: &Uri,
    credentials: Option<&HeaderValue>,
) -> Result<Response<Incoming>, Failure> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(ACCEPT, TEXT);
    request.headers_mut().insert(USER_AGENT, AGENT);
    if let Some(credentials) = credentials {
        request
            .headers_mut()
            .insert(AUTHORIZATION, credentials.clone());
    }
    let answer = client.request(request).await;
    answer.map_err(|error| match error {
        Error::Tls(reason) => Failure::Tls(reason),
        Error::Connect(error) => Failure::Connect(cause(&error)),
        Error::Broken(error) => Failure::Broken(cause(&error)),
    })
}

/// Where the answer sends us; absent: it is the page, or an error. Never to another server, which would get our credentials and speak for
/// this one.
fn redirection(response: &Response<Incoming>, from: &Uri) -> Option<Result<Uri, Failure>> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let refused = || Err(Failure::Redirect(location.to_owned()));
    let Ok(to) = location.parse::<Uri>() else {
        return Some(refused());
    };
    let is_here = to
        .scheme()
        .is_none_or(|scheme| Some(scheme) == from.scheme())
        && to
            .authority()
            .is_none_or(|authority| Some(authority) == from.authority());
    let path = to
        .path_and_query()
        .filter(|path| path.as_str().starts_with('/'));
    let Some(path) = path.filter(|_| is_here) else {
        return Some(refused());
    };
    let mut parts = from.clone().into_parts();
    parts.path_and_query = Some(path.clone());
    Some(Uri::from_parts(parts).or_else(|_| refused()))
}

async fn page(response: Response<Incoming>, max_bytes: usize) -> Result<Answer, Failure> {
    if response.status() != hyper::StatusCode::OK {
        return Err(Failure::Status(response.status().as_u16()));
    }
    let encoding = response.headers().get(CONTENT_ENCODING);
    if let Some(encoding) = encoding.filter(|encoding| *encoding != "identity") {
        let name = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
        return Err(Failure::Compressed(name));
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
