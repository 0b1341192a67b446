//! A scripted model server: records its requests, and answers at once or when a test says so.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;

use super::server::Server;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    /// Requests that arrived and have not been answered.
    open: AtomicUsize,
    /// Whether answers are held back.
    hold: watch::Sender<bool>,
    /// How every request is answered.
    manner: Mutex<Manner>,
}

/// How a server answers.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Status(StatusCode),
    /// Status 429 with `Retry-After` in seconds.
    Overloaded(u32),
    /// This status with `Retry-After: 30` for requests that have this header with this value, and
    /// 200 for all others.
    Refuse(StatusCode, (&'static str, &'static str)),
    /// The connection breaks in the middle of the answer.
    Break,
    /// Sends events without content at once, and a token after this time.
    Think(Duration),
    /// Sends events without content, then an error in place of tokens.
    Fail,
}

/// The server. Dropping it closes its port and every connection.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: Server,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into()).await
    }

    /// Starts a server on another address of this machine.
    pub(crate) async fn start_on(ip: IpAddr) -> Self {
        Self::start_at(SocketAddr::from((ip, 0))).await
    }

    /// Starts at an address that another server has left.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            hold: watch::channel(false).0,
            manner: Mutex::new(Manner::Status(StatusCode::OK)),
        });
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        let server = Server::start_at(address, router).await;
        Self {
            address: server.address,
            shared,
            server,
        }
    }

    /// Returns `ip:port`, as in tables and headers.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// Returns all requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Returns the number of requests that arrived and have not been answered.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Holds every answer from here on, until [`Self::release`].
    pub(crate) fn hold(&self) {
        self.shared.hold.send_replace(true);
    }

    /// Answers every held request, and later ones at once.
    pub(crate) fn release(&self) {
        self.shared.hold.send_replace(false);
    }

    /// Cuts every connection, also those with held requests.
    pub(crate) fn reset_all(&self) {
        self.server.reset_all();
    }

    /// Sets the status of later answers.
    pub(crate) fn answer_with(&self, status: u16) {
        *self.shared.manner.lock().unwrap() = Manner::Status(StatusCode::from_u16(status).unwrap());
    }

    /// Answers later requests with 429 and this `Retry-After`.
    pub(crate) fn answer_overloaded(&self, retry_after_s: u32) {
        *self.shared.manner.lock().unwrap() = Manner::Overloaded(retry_after_s);
    }

    /// Answers later requests that have this header with this status, and others with 200.
    pub(crate) fn refuse(&self, status: u16, header: (&'static str, &'static str)) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.shared.manner.lock().unwrap() = Manner::Refuse(status, header);
    }

    /// Answers later requests with events. The first one with content comes after `time`.
    pub(crate) fn think_for(&self, time: Duration) {
        *self.shared.manner.lock().unwrap() = Manner::Think(time);
    }

    /// Answers later requests with 200 and an event stream that holds an error of the server alone.
    pub(crate) fn fail_in_stream(&self) {
        *self.shared.manner.lock().unwrap() = Manner::Fail;
    }

    /// Breaks the connection in the middle of later answers.
    pub(crate) fn break_answers(&self) {
        *self.shared.manner.lock().unwrap() = Manner::Break;
    }
}

/// Counts a request as open as long as its handler lives, even if the connection is lost.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        return upgrade(&shared, request);
    }
    if let Some(to) = request.uri().path().strip_prefix("/moved") {
        return (
            StatusCode::FOUND,
            [(header::LOCATION, format!("http://models.example{to}"))],
        )
            .into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(Arc::clone(&shared));
    let path = parts.uri.to_string();
    shared.seen.lock().unwrap().push(Seen {
        method: parts.method,
        path,
        headers: parts.headers.clone(),
        body,
    });
    let mut hold = shared.hold.subscribe();
    // The sender lives as long as `shared`.
    hold.wait_for(|held| !held).await.unwrap();
    let manner = *shared.manner.lock().unwrap();
    manner.answer(&parts.headers)
}

impl Manner {
    fn answer(self, headers: &HeaderMap) -> Response {
        const BODY: &str = r#"{"id":"resp_kept","choices":[]}"#;
        let json = [(header::CONTENT_TYPE, "application/json")];
        match self {
            Self::Status(status) => (status, json, BODY).into_response(),
            Self::Overloaded(retry_after_s) => (
                StatusCode::TOO_MANY_REQUESTS,
                json,
                [(header::RETRY_AFTER, retry_after_s.to_string())],
                BODY,
            )
                .into_response(),
            Self::Refuse(status, (name, value)) => {
                if headers.get(name).is_some_and(|found| found == value) {
                    (status, json, [(header::RETRY_AFTER, "30")], BODY).into_response()
                } else {
                    (json, BODY).into_response()
                }
            }
            Self::Think(time) => think(time, TOKEN),
            Self::Fail => think(Duration::ZERO, FAILURE),
            Self::Break => {
                let begin = Ok(Bytes::from_static(b"{\"choices\":"));
                let broken = Err(std::io::Error::other("the answer breaks off"));
                let later = async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    broken
                };
                let body = stream::iter([begin]).chain(stream::once(later));
                (json, Body::from_stream(body)).into_response()
            }
        }
    }
}

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"token\"}}]}\n\n";
/// As vLLM writes it.
const FAILURE: &str = concat!(
    "data: {\"error\":{\"message\":\"EngineCore is gone\",\"type\":\"InternalServerError\",",
    "\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n",
);

/// Sends events without content, then `last`.
fn think(time: Duration, last: &'static str) -> Response {
    const BEGIN: &str = concat!(
        ": keep-alive\n\nevent: response.created\ndata: {\"type\":\"response.created\",\"response\":",
        "{\"instructions\":\"be brief\",\"output\":[]}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    );
    let begin = stream::iter([Ok::<_, Infallible>(Bytes::from_static(BEGIN.as_bytes()))]);
    let later = async move {
        tokio::time::sleep(time).await;
        Ok(Bytes::from_static(last.as_bytes()))
    };
    let body = Body::from_stream(begin.chain(stream::once(later)));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Accepts any upgrade and echoes what is sent over it.
fn upgrade(shared: &Arc<Shared>, mut request: Request) -> Response {
    let (protocol, path) = (
        request.headers()[header::UPGRADE].clone(),
        request.uri().to_string(),
    );
    shared.seen.lock().unwrap().push(Seen {
        method: request.method().clone(),
        path,
        headers: request.headers().clone(),
        body: Bytes::new(),
    });
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(stream) = upgraded.await {
            let mut stream = hyper_util::rt::TokioIo::new(stream);
            let (mut near, mut far) = tokio::io::duplex(4096);
            let (mut read, mut write) = tokio::io::split(&mut far);
            let echo = async { tokio::io::copy(&mut read, &mut write).await };
            // Either side may close first. The echo ends with the connection.
            let _ended = tokio::join!(copy_bidirectional(&mut stream, &mut near), echo);
        }
    });
    let headers = [
        (header::CONNECTION, "upgrade".parse().unwrap()),
        (header::UPGRADE, protocol),
    ];
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(headers);
    response
}
