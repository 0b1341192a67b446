//! Sends one request and times its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming, header};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use super::sse::{Event, SseReader, Usage};

/// Path of every request.
const PATH: &str = "/v1/chat/completions";
/// Response header in which the proxies of the demo name the server that answered.
pub(crate) const UPSTREAM_HEADER: &str = "x-upstream";
/// Response header in which the filter explains its decision on request: `reason=...;
/// endpoint=ip:port; ...`.
pub(crate) const DECISION_HEADER: &str = "x-trimtab-decision";
/// Time after which a request counts as failed.
const TIMEOUT: Duration = Duration::from_secs(180);

/// The answer to one request.
#[derive(Debug, Default)]
pub struct Answer {
    /// When the first body chunk with text arrived; absent if none did. Headers do not count,
    /// because servers send them before prefill.
    pub first_at: Option<Instant>,
    /// When the last body chunk with text arrived.
    pub last_at: Option<Instant>,
    /// Token counts; absent if the stream ended without them.
    pub usage: Option<Usage>,
    /// The text with its JSON escapes, as it arrived.
    pub escaped: String,
    /// The server that answered, as the proxy or the filter names it.
    pub upstream: Option<String>,
    /// The filter's reasons for the server; absent if no filter decided.
    pub decision: Option<String>,
    /// Why the answer is incomplete; absent if it is complete.
    pub failure: Option<Failure>,
}

/// Ways in which a request fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// The connection failed, or it broke before the answer's headers.
    Connect,
    /// The server answered another status than 200.
    Status(u16),
    /// The stream broke, ended early or held an error.
    Stream,
    /// The answer did not end within three minutes.
    Timeout,
    /// The run ended before the answer did.
    Unfinished,
}

impl Failure {
    /// Returns a label for reports.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Connect => "connect".to_owned(),
            Self::Status(code) => format!("status_{code}"),
            Self::Stream => "stream".to_owned(),
            Self::Timeout => "timeout".to_owned(),
            Self::Unfinished => "unfinished".to_owned(),
        }
    }
}

/// A client that keeps connections open between requests. It has as many connections as requests at
/// the same time.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Default for Client {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
        }
    }
}

impl Client {
    /// Sends one request and reads the answer to its end. Never returns an error:
    /// [`Answer::failure`] says what went wrong.
    ///
    /// - `target`: address of a proxy or a server.
    /// - `body`: JSON body of the request.
    /// - `on_first`: called once, at the first text.
    pub async fn send(
        &self,
        target: SocketAddr,
        body: Bytes,
        on_first: impl FnOnce(Instant),
    ) -> Answer {
        let mut answer = Answer::default();
        match tokio::time::timeout(TIMEOUT, self.exchange(target, body, on_first, &mut answer))
            .await
        {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => answer.failure = Some(failure),
            Err(_) => answer.failure = Some(Failure::Timeout),
        }
        answer
    }

    async fn exchange(
        &self,
        target: SocketAddr,
        body: Bytes,
        on_first: impl FnOnce(Instant),
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let request = Request::post(format!("http://{target}{PATH}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| Failure::Connect)?;
        let response = self.http.request(request).await.map_err(|error| {
            tracing::debug!(%target, ?error, "no answer");
            Failure::Connect
        })?;
        answer.upstream = upstream(response.headers());
        answer.decision = text(response.headers(), DECISION_HEADER).map(str::to_owned);
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        read(response.into_body(), on_first, answer).await
    }
}

/// Returns the server that answered: as the proxy names it, else as the filter does.
fn upstream(headers: &HeaderMap) -> Option<String> {
    let decided = || {
        text(headers, DECISION_HEADER)?
            .split("; ")
            .find_map(|part| part.strip_prefix("endpoint="))
    };
    text(headers, UPSTREAM_HEADER)
        .or_else(decided)
        .map(str::to_owned)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn refused(response: Response<Incoming>) -> Failure {
    let status = response.status().as_u16();
    let text = response
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let shortened: String = String::from_utf8_lossy(&text).chars().take(200).collect();
    tracing::debug!(status, body = shortened, "refused");
    Failure::Status(status)
}

async fn read(
    mut body: Incoming,
    on_first: impl FnOnce(Instant),
    answer: &mut Answer,
) -> Result<(), Failure> {
    let mut reader = SseReader::default();
    let mut on_first = Some(on_first);
    let (mut done, mut failed) = (false, false);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Failure::Stream);
        };
        let Some(chunk) = frame.data_ref() else {
            continue;
        };
        let now = Instant::now();
        reader.feed(chunk, &mut |event| match event {
            Event::Content(text) => {
                answer.escaped.push_str(text);
                answer.last_at = Some(now);
                if let Some(on_first) = on_first.take() {
                    answer.first_at = Some(now);
                    on_first(now);
                }
            }
            Event::Usage(usage) => answer.usage = Some(usage),
            Event::Done => done = true,
            Event::Error(text) => {
                tracing::debug!(text, "the stream holds an error");
                failed = true;
            }
        });
    }
    if done && !failed {
        Ok(())
    } else {
        Err(Failure::Stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn the_server_is_named_by_the_proxy_or_by_the_filter() {
        let mut headers = HeaderMap::new();
        assert_eq!(upstream(&headers), None);
        headers.insert(
            DECISION_HEADER,
            HeaderValue::from_static("reason=load; endpoint=10.0.0.1:80; wait_ms=4"),
        );
        assert_eq!(upstream(&headers).as_deref(), Some("10.0.0.1:80"));
        headers.insert(UPSTREAM_HEADER, HeaderValue::from_static("10.0.0.2:80"));
        assert_eq!(upstream(&headers).as_deref(), Some("10.0.0.2:80"));
    }
}
