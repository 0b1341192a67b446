//! Fetches one page over HTTP/1.1.

use super::client::{Client, Error};
use super::failure::Failure;
use super::protocol;
use super::redirect::Way;
use super::settings::Scrape;
use super::token::credentials;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION,
    TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Request, Response, Uri};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// OpenMetrics is not asked for, because Python's client then renames samples. If a server sends it
/// anyway, it is read.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain;version=0.0.4");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("trimtab-aggregator/", env!("CARGO_PKG_VERSION")));

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Bytes,
    /// Whether the answer has a length or comes in chunks. A cut is then an error.
    pub(crate) complete: bool,
}

/// Whether the server has begun to answer the request under way.
#[derive(Debug, Default)]
pub(crate) struct Heard(AtomicBool);

impl Heard {
    /// Call this before a new request.
    pub(super) fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Fetches a page of at most the configured size. Follows redirects within the server. Has no time
/// limit of its own; the caller sets one.
pub(super) async fn get(
    client: &Client,
    uri: &Uri,
    settings: &Scrape,
    heard: &Heard,
) -> Result<Answer, Failure> {
    // The probes of `protocol` must end well within the timeout, so that their result is reported.
    let deadline = Instant::now() + settings.timeout.mul_f64(0.75);
    let outcome = follow(client, uri, settings, heard).await;
    let Err(failure) = outcome else {
        return outcome;
    };
    let asked = protocol::other(uri, &failure);
    let other = tokio::time::timeout_at(deadline, asked).await;
    Err(other.ok().flatten().unwrap_or(failure))
}

async fn follow(
    client: &Client,
    uri: &Uri,
    settings: &Scrape,
    heard: &Heard,
) -> Result<Answer, Failure> {
    let credentials = match &settings.bearer_token_file {
        Some(file) => Some(credentials(file).await?),
        None => None,
    };
    let mut way = Way::new(uri.clone());
    loop {
        let response = request(client, &way.at, credentials.as_ref()).await?;
        heard.0.store(true, Ordering::Relaxed);
        let location = response.headers().get(LOCATION);
        match location.filter(|_| response.status().is_redirection()) {
            Some(location) => way.follow(location.as_bytes())?,
            None => return page(response, settings.max_page_bytes).await,
        }
    }
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
        Error::OwnTls(reason) => Failure::OwnTls(reason),
        Error::Connect(error) => Failure::Connect(cause(&error)),
        Error::Broken(error) if is_no_http(&error) => Failure::NoHttp(cause(&error)),
        Error::Broken(error) => Failure::Broken(cause(&error)),
    })
}

async fn page(response: Response<Incoming>, max_bytes: usize) -> Result<Answer, Failure> {
    if response.status() != hyper::StatusCode::OK {
        return Err(Failure::Status(response.status().as_u16()));
    }
    if let Some(coding) = coding(response.headers()) {
        return Err(Failure::Compressed(coding));
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
    let bytes = body.to_bytes();
    match hidden_coding(&bytes) {
        Some(coding) => Err(Failure::Compressed(coding.to_owned())),
        None => Ok(Answer { bytes, complete }),
    }
}

/// Returns the compression of a page whose headers do not name it.
fn hidden_coding(page: &[u8]) -> Option<&'static str> {
    match page {
        [0x1f, 0x8b, ..] => Some("gzip, and its headers do not say so"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd, and its headers do not say so"),
        _ => None,
    }
}

/// Returns the compression that the headers name. `None`: the page is not compressed. Names of
/// codings ignore case (RFC 9110, section 8.4.1).
fn coding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let names = values.iter().flat_map(|value| value.split(','));
    let codings: Vec<&str> = names
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
        .collect();
    (!codings.is_empty()).then(|| codings.join(", "))
}

/// Whether the answer could not be parsed as HTTP/1.1.
fn is_no_http(error: &dyn std::error::Error) -> bool {
    let inner = error.source().and_then(|source| source.downcast_ref());
    inner.is_some_and(hyper::Error::is_parse)
}

/// Returns the innermost error: "connection refused" helps, "client error (Connect)" does not.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
