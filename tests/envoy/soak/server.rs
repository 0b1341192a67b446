//! A model server that does to each request what a header of the request says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What a server does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers at once with the length of the received body.
    Plain,
    /// Answers in [`CHUNKS`] pieces.
    Stream,
    /// Answers after 300 ms.
    Late,
    /// Answers 503.
    Unavailable,
    /// Closes the connection without an answer.
    Reset,
    /// Closes the connection in the middle of an answer.
    Break,
}

/// The request header with the manner.
pub(crate) const HEADER: &str = "x-manner";
/// Number of pieces of a streamed answer, and the text of each piece.
pub(crate) const CHUNKS: usize = 40;
pub(crate) const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\" word\"}}]}\n\n";

impl Manner {
    const ALL: [Self; 6] = [
        Self::Plain,
        Self::Stream,
        Self::Late,
        Self::Unavailable,
        Self::Reset,
        Self::Break,
    ];

    /// Returns the header's value.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
            Self::Late => "late",
            Self::Unavailable => "unavailable",
            Self::Reset => "reset",
            Self::Break => "break",
        }
    }
}

/// Starts a server on a free port. It runs until the process ends.
pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A broken connection was either requested or is the client's problem.
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(serve)),
            );
        }
    });
    address
}

#[derive(Debug)]
struct AskedFor;

impl std::fmt::Display for AskedFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request asks for it")
    }
}

impl std::error::Error for AskedFor {}

async fn serve(
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, AskedFor>>, AskedFor> {
    let name = request.headers().get(HEADER).cloned();
    let manner = Manner::ALL.into_iter().find(|own| {
        let named = name.as_ref().map(|name| name.as_bytes());
        named == Some(own.name().as_bytes())
    });
    let mut body = request.into_body();
    let mut length = 0;
    while !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => return Err(AskedFor),
            None => break,
        }
    }
    let whole = |text: String| Full::from(text).map_err(never).boxed_unsync();
    Ok(match manner.unwrap_or(Manner::Plain) {
        Manner::Plain => Response::new(whole(length.to_string())),
        Manner::Late => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Response::new(whole(length.to_string()))
        }
        Manner::Stream => Response::new(streamed(CHUNKS, false)),
        Manner::Break => Response::new(streamed(CHUNKS / 2, true)),
        Manner::Reset => return Err(AskedFor),
        Manner::Unavailable => {
            let mut response = Response::new(whole("busy".to_owned()));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    })
}

fn never(never: Infallible) -> AskedFor {
    match never {}
}

fn streamed(chunks: usize, breaks: bool) -> UnsyncBoxBody<Bytes, AskedFor> {
    let frames = stream::unfold(0, move |sent| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if sent < chunks {
            let frame = Frame::data(Bytes::from_static(CHUNK.as_bytes()));
            return Some((Ok(frame), sent + 1));
        }
        (breaks && sent == chunks).then_some((Err(AskedFor), sent + 1))
    });
    StreamBody::new(frames).boxed_unsync()
}
