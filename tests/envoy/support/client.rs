//! A client that controls every byte and every chunk.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Timeout of one request. A working one takes milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Header in which the filter names the host, in the deployed configuration.
pub(crate) const DESTINATION: &str = "x-gateway-destination-endpoint";
/// Header in which the filter explains its decision.
pub(crate) const DECISION: &str = "x-trimtab-decision";

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// Returns a header as text; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// Returns the endpoint in the explain header; empty if the filter chose none.
    pub(crate) fn endpoint(&self) -> &str {
        let explained = self.header(DECISION);
        let named = explained
            .split(';')
            .find_map(|part| part.trim().strip_prefix("endpoint="));
        named.unwrap_or_default()
    }

    /// Fails the test unless the answer is 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// An error of the transport.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Sends over a fresh connection. Returns an error if the connection was reset, or closed without
/// an answer.
pub(crate) async fn request(
    to: SocketAddr,
    request: Request<UnsyncBoxBody<Bytes, Error>>,
) -> Result<Response, Error> {
    tokio::time::timeout(LIMIT, unbounded(to, request)).await?
}

async fn unbounded(
    to: SocketAddr,
    request: Request<UnsyncBoxBody<Bytes, Error>>,
) -> Result<Response, Error> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let stream = TokioIo::new(stream);
    let response = if request.version() == Version::HTTP_2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

/// Sends a POST with Content-Length.
pub(crate) async fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Response, Error> {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync();
    request(to, build(Method::POST, path, headers, body)).await
}

/// Sends a chat completion request with this prompt of the user.
pub(crate) async fn chat(to: SocketAddr, prompt: &str) -> Result<Response, Error> {
    post(
        to,
        "/v1/chat/completions",
        &[("content-type", "application/json")],
        chat_body(prompt),
    )
    .await
}

/// Does the same as [`chat`], without the system prompt. The requests then share nothing that ties
/// them to a server.
pub(crate) async fn ask(to: SocketAddr, prompt: &str) -> Result<Response, Error> {
    post(
        to,
        "/v1/chat/completions",
        &[("content-type", "application/json")],
        ask_body(prompt),
    )
    .await
}

/// Requests a streamed answer. Returns the times until its first byte and its end.
pub(crate) async fn timed(to: SocketAddr, prompt: &str) -> (Duration, Duration) {
    let messages = serde_json::json!([{"role": "user", "content": prompt}]);
    let body =
        serde_json::json!({"model": "m", "messages": messages, "max_tokens": 8, "stream": true});
    let body = Full::new(Bytes::from(body.to_string()))
        .map_err(|never| match never {})
        .boxed_unsync();
    let connection = TcpStream::connect(to).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await.unwrap();
    tokio::spawn(connection);
    let start = Instant::now();
    let request = build(Method::POST, "/v1/chat/completions", &[], body);
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut first_byte = None;
    while let Some(frame) = body.frame().await {
        if frame
            .unwrap()
            .data_ref()
            .is_some_and(|data| !data.is_empty())
        {
            first_byte.get_or_insert_with(|| start.elapsed());
        }
    }
    (first_byte.unwrap(), start.elapsed())
}

/// Returns the body of [`ask`].
pub(crate) fn ask_body(prompt: &str) -> String {
    let messages = serde_json::json!([{"role": "user", "content": prompt}]);
    serde_json::json!({"model": "m", "messages": messages, "max_tokens": 8}).to_string()
}

/// Sends a chat completion request that keeps the spelling of header names. The usual client makes
/// them lower case.
pub(crate) async fn post_spelled(to: SocketAddr, headers: &[(&str, &str)], body: &str) -> Response {
    let length = body.len();
    let mut request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: models.example\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n"
    );
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("\r\n{body}");
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    parse(&answer)
}

/// Parses a raw answer over HTTP/1.1. Its body may be in chunks.
pub(crate) fn parse(answer: &str) -> Response {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    let pairs = headers.lines().filter_map(|line| line.split_once(": "));
    let pairs = pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Response {
        status: status.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: pairs
            .collect::<Vec<(HeaderName, HeaderValue)>>()
            .into_iter()
            .collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// Returns the body of [`chat`]. It begins with a long system prompt. The key of that prompt has
/// two endpoints, so in a pool of two the picker weighs both.
pub(crate) fn chat_body(prompt: &str) -> String {
    let system = "You answer in one short sentence. ".repeat(60);
    let messages = serde_json::json!([{"role": "system", "content": system}, {"role": "user", "content": prompt}]);
    serde_json::json!({"model": "m", "messages": messages, "max_tokens": 8}).to_string()
}

/// Sends a POST in chunked transfer encoding, with a pause between the chunks.
pub(crate) async fn post_chunks(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    chunks: Vec<Bytes>,
    pause: Duration,
) -> Result<Response, Error> {
    let frames = stream::unfold(chunks.into_iter(), move |mut rest| async move {
        let chunk = rest.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Error>(Frame::data(chunk)), rest))
    });
    let body = StreamBody::new(frames).boxed_unsync();
    request(to, build(Method::POST, path, headers, body)).await
}

/// Sends a chat completion request with its body in pieces. The second piece comes when the proxy
/// has had time to see the first.
///
/// - `to`: address of the proxy.
/// - `version`: version of HTTP.
/// - `length`: Content-Length; absent for a request without it.
/// - `pieces`: the body.
pub(crate) async fn post_pieces(
    to: SocketAddr,
    version: Version,
    length: Option<usize>,
    pieces: Vec<Bytes>,
) -> Result<Response, Error> {
    let frames = stream::unfold((0, pieces.into_iter()), |(n, mut rest)| async move {
        let piece = rest.next()?;
        if n == 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some((Ok::<_, Error>(Frame::data(piece)), (n + 1, rest)))
    });
    // HTTP/2 takes the authority from the target; HTTP/1.1 takes it from the target and the header.
    let mut builder = Request::post("http://models.example/v1/chat/completions")
        .version(version)
        .header("host", "models.example")
        .header("content-type", "application/json");
    if let Some(length) = length {
        builder = builder.header("content-length", length);
    }
    request(to, builder.body(StreamBody::new(frames).boxed_unsync())?).await
}

/// Sends a request without a body.
pub(crate) async fn bare(
    to: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response, Error> {
    let body = Full::new(Bytes::new())
        .map_err(|never| match never {})
        .boxed_unsync();
    request(to, build(method, path, headers, body)).await
}

fn build(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: UnsyncBoxBody<Bytes, Error>,
) -> Request<UnsyncBoxBody<Bytes, Error>> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "models.example");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body).unwrap()
}
