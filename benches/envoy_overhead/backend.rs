//! Model servers that answer at once, so that the proxy dominates the measurement.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const METRICS: &str = "# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.1
";
const COMPLETION: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":1,"total_tokens":501}}"#;
/// One token of a streamed answer.
pub(crate) const CHUNK: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
/// Time between two tokens, so that each passes the proxy separately.
const PACE: Duration = Duration::from_millis(1);
/// A request header with the number of chunks. If absent, the answer comes in one piece.
pub(crate) const CHUNKS: &str = "x-chunks";

/// Starts a server on a free port.
pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let chunks = request.headers().get(CHUNKS);
    let chunks: Option<usize> = chunks.and_then(|value| value.to_str().ok()?.parse().ok());
    let metrics = request.uri().path().starts_with("/metrics");
    let (kind, text) = if metrics {
        ("text/plain; version=0.0.4", METRICS)
    } else {
        ("application/json", COMPLETION)
    };
    let mut body = request.into_body();
    while let Some(Ok(_chunk)) = body.frame().await {}
    let (kind, answer) = match chunks {
        Some(chunks) => ("text/event-stream", streamed(chunks)),
        None => (kind, Full::from(text).boxed_unsync()),
    };
    let mut response = Response::new(answer);
    response.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static(kind),
    );
    Ok(response)
}

fn streamed(chunks: usize) -> UnsyncBoxBody<Bytes, Infallible> {
    let pace = tokio::time::interval(PACE);
    let frames = stream::unfold((chunks, pace), |(left, mut pace)| async move {
        let left = left.checked_sub(1)?;
        pace.tick().await;
        let frame = Frame::data(Bytes::from_static(CHUNK.as_bytes()));
        Some((Ok(frame), (left, pace)))
    });
    StreamBody::new(frames).boxed_unsync()
}
