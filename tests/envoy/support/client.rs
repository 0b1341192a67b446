//! A client that controls every byte and every chunk.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Bound on one request; a working one takes milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// A header as text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// Fails the test unless the answer is 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Sends over a fresh connection. The error is the transport's: the connection was reset, or closed without an answer.
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
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

/// A POST with Content-Length.
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

/// A chat completion request whose user says this.
pub(crate) async fn chat(to: SocketAddr, prompt: &str) -> Result<Response, Error> {
    post(
        to,
        "/v1/chat/completions",
        &[("content-type", "application/json")],
        chat_body(prompt),
    )
    .await
}

/// The same without the system prompt: nothing that the requests of a load have in common ties them to a server.
pub(crate) async fn ask(to: SocketAddr, prompt: &str) -> Result<Response, Error> {
    let messages = serde_json::json!([{"role": "user", "content": prompt}]);
    let body = serde_json::json!({"model": "m", "messages": messages, "max_tokens": 8}).to_string();
    post(
        to,
        "/v1/chat/completions",
        &[("content-type", "application/json")],
        body,
    )
    .await
}

/// Asks for a streamed answer; the times until its first byte and its end.
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

/// Its body. A long system prompt stands first: two endpoints are where it belongs, so in a pool of two both are weighed.
pub(crate) fn chat_body(prompt: &str) -> String {
    let system = "You answer in one short sentence. ".repeat(60);
    let messages = serde_json::json!([{"role": "system", "content": system}, {"role": "user", "content": prompt}]);
    serde_json::json!({"model": "m", "messages": messages, "max_tokens": 8}).to_string()
}

/// A POST in chunked transfer encoding, each chunk sent apart from the next by a pause.
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

/// Any request without a body.
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
