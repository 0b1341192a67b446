//! Servers with an odd page and odd answers. The headers of each answer describe it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected};
use serde_json::Value;

use super::answer::{self, Answer};
use super::digest;
use super::page::{Moment, Page};
use crate::support::client::DESTINATION;
use crate::support::server::Server;

/// The request header that asks for a status.
pub(crate) const SAY: &str = "x-odd-say";
/// Headers of the answer: its status, the length of its body, and a digest of the received request.
pub(crate) const SAID: &str = "x-odd-said";
pub(crate) const LENGTH: &str = "x-odd-length";
pub(crate) const GOT: &str = "x-odd-got";
/// Header of an answer when the filter sent the request to this server while it sleeps.
pub(crate) const ASLEEP: &str = "x-odd-asleep";

#[derive(Debug)]
struct Shared {
    page: Page,
    name: OnceLock<String>,
    awake: AtomicBool,
    scrapes: AtomicU32,
    open: AtomicU32,
    answered: AtomicU32,
    /// Requests that the filter sent here: while asleep, and while awake.
    placed: [AtomicU32; 2],
    /// Responses that the server keeps.
    kept: Mutex<BTreeSet<String>>,
}

/// One odd server.
#[derive(Debug)]
pub(crate) struct OddServer {
    pub(crate) page: Page,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server,
}

impl OddServer {
    pub(crate) async fn start(page: Page) -> Self {
        let shared = Arc::new(Shared {
            page,
            name: OnceLock::new(),
            awake: AtomicBool::new(page != Page::Sleeps),
            scrapes: AtomicU32::new(0),
            open: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            placed: [AtomicU32::new(0), AtomicU32::new(0)],
            kept: Mutex::default(),
        });
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/metrics/", get(metrics))
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        let server = Server::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), router).await;
        shared.name.set(server.address.to_string()).unwrap();
        Self {
            page,
            address: server.address,
            shared,
            _server: server,
        }
    }

    pub(crate) fn wake(&self) {
        self.shared.awake.store(true, Ordering::SeqCst);
    }

    /// Returns how many requests the filter sent here while the server slept.
    pub(crate) fn placed_asleep(&self) -> u32 {
        self.shared.placed[0].load(Ordering::SeqCst)
    }

    /// Returns how many requests the filter sent here while the server was awake.
    pub(crate) fn placed(&self) -> u32 {
        self.shared.placed[1].load(Ordering::SeqCst)
    }
}

/// Counts a request as open as long as its handler lives, even if the connection is lost.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let now = Moment {
        answered: shared.answered.load(Ordering::SeqCst),
        open: shared.open.load(Ordering::SeqCst),
        scrapes: shared.scrapes.fetch_add(1, Ordering::SeqCst),
        awake: shared.awake.load(Ordering::SeqCst),
    };
    shared.page.at(request.uri().path(), now).await
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let wrongly = shared.count(&parts.headers);
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(Arc::clone(&shared));
    let Ok(body) = body.collect().await.map(Collected::to_bytes) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let number = shared.answered.fetch_add(1, Ordering::SeqCst);
    let answer = shared.answer(&parts, &body, number);
    tokio::time::sleep(answer.late).await;
    let (status, length) = (answer.status, answer.length());
    let mut response = answer.into_response();
    let mut add = |name: &'static str, value: String| {
        response.headers_mut().insert(name, value.parse().unwrap());
    };
    add(SAID, status.as_u16().to_string());
    add(LENGTH, length.to_string());
    add(GOT, digest(&body));
    if wrongly {
        add(ASLEEP, "yes".to_owned());
    }
    response
}

impl Shared {
    /// Counts a request whose first destination is this server. Later destinations get only what
    /// failed at the first. Returns whether the server sleeps and was the first.
    fn count(&self, headers: &HeaderMap) -> bool {
        let named = headers
            .get(DESTINATION)
            .and_then(|value| value.to_str().ok());
        let first = named.and_then(|named| named.split(',').next());
        let placed = first.is_some() && first == self.name.get().map(String::as_str);
        let awake = self.awake.load(Ordering::SeqCst);
        if placed {
            self.placed[usize::from(awake)].fetch_add(1, Ordering::SeqCst);
        }
        placed && !awake
    }

    fn answer(&self, parts: &Parts, body: &Bytes, number: u32) -> Answer {
        let asked = parts.headers.get(SAY).and_then(|say| say.to_str().ok());
        if let Some(status) = asked.and_then(|say| say.parse().ok()) {
            return Answer::json(status, "{\"error\":{\"message\":\"as asked\"}}");
        }
        match parts.uri.path().strip_prefix("/v1/responses") {
            Some("") if parts.method == Method::POST => self.make(body, number),
            Some(rest) => self.look_up(&parts.method, rest.trim_start_matches('/')),
            None => answer::of_kind(number),
        }
    }

    /// Makes a new response, unless it continues one that this server does not have.
    fn make(&self, body: &Bytes, number: u32) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut kept = self.kept.lock().unwrap();
        if let Some(before) = body["previous_response_id"].as_str()
            && !kept.contains(before)
        {
            return answer::not_found(before);
        }
        let name = format!("resp_{}_{number}", self.name.get().unwrap()).replace(['.', ':'], "-");
        kept.insert(name.clone());
        answer::response(&name, body["stream"] == true)
    }

    fn look_up(&self, method: &Method, name: &str) -> Answer {
        let mut kept = self.kept.lock().unwrap();
        let found = if method == Method::DELETE {
            kept.remove(name)
        } else {
            kept.contains(name)
        };
        match found {
            true => answer::response(name, false),
            false => answer::not_found(name),
        }
    }
}
