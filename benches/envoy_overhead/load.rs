//! The client: closed-loop bursts for CPU per request, and single requests for latency.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::backend::{CHUNK, CHUNKS};

/// One kept-alive connection to a proxy.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(proxy: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends one chat request and reads the whole answer. Returns the time that this took.
    pub(crate) async fn send(&mut self, body: &Bytes) -> Result<Duration> {
        let request = post().body(Full::new(body.clone()))?;
        let start = Instant::now();
        self.0.ready().await?;
        let response = self
            .0
            .send_request(request)
            .await
            .context("the proxy closed the connection")?;
        let status = response.status();
        response.into_body().collect().await?;
        ensure!(status.is_success(), "the proxy answered {status}");
        Ok(start.elapsed())
    }
}

fn post() -> Builder {
    Request::post("/v1/chat/completions")
        .header("host", "models")
        .header("content-type", "application/json")
}

/// Keeps `connections` busy for `length`. Returns the number of answered requests.
pub(crate) async fn burst(
    proxy: SocketAddr,
    body: &Bytes,
    connections: usize,
    length: Duration,
) -> Result<u64> {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let body = body.clone();
        tasks.spawn(async move {
            let mut connection = Connection::open(proxy).await?;
            let (start, mut answered) = (Instant::now(), 0_u64);
            while start.elapsed() < length {
                connection.send(&body).await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        });
    }
    let mut total = 0;
    while let Some(joined) = tasks.join_next().await {
        total += joined??;
    }
    Ok(total)
}

/// Starts `requests` one after another, `gap` apart. Each has a connection of its own and is
/// answered in `chunks` pieces. Returns when all have ended.
pub(crate) async fn streams(
    proxy: SocketAddr,
    body: &Bytes,
    requests: u32,
    gap: Duration,
    chunks: usize,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let mut pace = tokio::time::interval(gap);
    for _ in 0..requests {
        pace.tick().await;
        let body = body.clone();
        tasks.spawn(async move {
            let mut connection = Connection::open(proxy).await?;
            let request = post().header(CHUNKS, chunks).body(Full::new(body))?;
            let response = connection.0.send_request(request).await?;
            let status = response.status();
            let answer = response.into_body().collect().await?.to_bytes();
            ensure!(status.is_success(), "the proxy answered {status}");
            ensure!(answer.len() == chunks * CHUNK.len(), "the answer is cut");
            Ok(())
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined??;
    }
    Ok(())
}

/// Returns a chat request of about `bytes` bytes: a system prompt and one user message.
pub(crate) fn chat_body(bytes: usize) -> Bytes {
    let text: String = (0..)
        .flat_map(|n| format!("w{} ", n % 97).into_bytes())
        .map(char::from)
        .take(bytes.saturating_sub(180))
        .collect();
    let (system, user) = text.split_at(text.len() / 2);
    let messages = serde_json::json!([{"role": "system", "content": system}, {"role": "user", "content": user}]);
    Bytes::from(
        serde_json::json!({"model": "m", "stream": false, "max_tokens": 16, "messages": messages})
            .to_string(),
    )
}
