//! Passes one request from the client through the filter to an upstream, and its answer back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::{Body, Incoming};
use hyper::{Request, Response, StatusCode};
use tokio::sync::mpsc;
use trimtab_wasmhost::{Direction, HeaderMap, Part};

use super::access::Access;
use super::messages::{Event, Key, Mailbox, Outs, from_filter, to_filter};
use super::pipe::{Passed, Pipe};
use super::pool::{Connection, Pool};
use super::relay::{DEPTH, Relay, pump};
use super::upstream::{InFlight, Upstreams};

/// Headers that belong to one connection and not to the message.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The parts that all requests share.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) workers: Vec<Mailbox>,
    pub(super) next: AtomicU64,
    pub(super) upstreams: Upstreams,
    pub(super) pool: Pool<Relay>,
    /// Header in which the filter writes its hosts.
    pub(super) destination_header: String,
    /// Header in which the filter explains its decisions; absent if it does not.
    pub(super) explain_header: Option<String>,
}

/// A request's place in its worker. Dropping it ends the stream there, however the request ended.
#[derive(Debug)]
struct Session {
    key: Key,
    mailbox: Mailbox,
    request_task: tokio::task::AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.request_task.abort();
        self.mailbox.send(Event::Close { key: self.key });
    }
}

/// An answer of an upstream, with the values that must live as long as its body.
struct Answer {
    response: Response<Incoming>,
    connection: Connection<Relay>,
    in_flight: InFlight,
}

impl Gateway {
    /// Serves one request.
    pub(super) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Response<Relay> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let mut access = Access::new(request.method().as_str(), path);
        if request.headers().contains_key(hyper::header::UPGRADE)
            || request.method() == hyper::Method::CONNECT
        {
            access.status = Some(501);
            return bare(StatusCode::NOT_IMPLEMENTED);
        }
        let (session, mut parts, mut answers) = self.open(request);
        tokio::select! {
            biased;
            replied = local_reply(&mut answers) => {
                if !replied {
                    return bare(StatusCode::BAD_GATEWAY);
                }
            }
            answer = self.forward(&mut parts, &mut access) => match answer {
                Ok(answer) => return self.pass_back(answer, answers, session, access).await,
                Err(reason) => {
                    tracing::warn!("request not sent: {reason}");
                    let body = format!("{reason}\n").into_bytes();
                    session.mailbox.send(Event::LocalReply { key: session.key, status: 503, body });
                    if !local_reply(&mut answers).await {
                        return bare(StatusCode::BAD_GATEWAY);
                    }
                }
            },
        }
        let feed = |answers: Pipe, to| Feed {
            pipe: answers,
            head: None,
            body: None,
            to,
            connection: None,
        };
        self.answer(answers, feed, session, None, access).await
    }

    /// Registers the request with a worker and starts sending it through the filter.
    fn open(&self, request: Request<Incoming>) -> (Session, mpsc::Receiver<Part>, Pipe) {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(key).unwrap_or(0) % self.workers.len().max(1);
        // There is at least one worker, because `Proxy::start` makes one.
        let mailbox = self
            .workers
            .get(turn)
            .or_else(|| self.workers.first())
            .cloned()
            .unwrap_or_else(Mailbox::nobody);
        let (request_out, request_outs) = mpsc::unbounded_channel();
        let (response_out, response_outs) = mpsc::unbounded_channel();
        mailbox.send(Event::Open {
            key,
            outs: Outs {
                request: request_out,
                response: response_out,
            },
        });
        let pipe = |direction, outs| Pipe {
            key,
            direction,
            mailbox: mailbox.clone(),
            outs,
        };
        let mut requests = pipe(Direction::Request, request_outs);
        let answers = pipe(Direction::Response, response_outs);
        let (to, parts) = mpsc::channel(DEPTH);
        let head = request_head(&request);
        let body = request.into_body();
        let body = (!body.is_end_stream()).then_some(body);
        let task = tokio::spawn(async move { pump(&mut requests, Some(head), body, to).await });
        (
            Session {
                key,
                mailbox,
                request_task: task.abort_handle(),
            },
            parts,
            answers,
        )
    }

    /// Waits until the filter releases the headers, then tries its hosts in order.
    async fn forward(
        &self,
        parts: &mut mpsc::Receiver<Part>,
        access: &mut Access,
    ) -> Result<Answer, String> {
        let Some(Part::Headers(head, end)) = parts.recv().await else {
            return Err("the client or the filter went away".into());
        };
        access.destination = head.text(&self.destination_header).map(ToOwned::to_owned);
        let hosts = self.upstreams.candidates(access.destination.as_deref());
        if hosts.is_empty() {
            return Err("no upstream: the filter named none, and --endpoints is empty".into());
        }
        let mut last = String::new();
        for host in hosts {
            access.attempts += 1;
            match self.pool.connect(host).await {
                Ok(connection) => {
                    access.upstream = Some(host);
                    let body = if end {
                        Relay::empty()
                    } else {
                        Relay::new(std::mem::replace(parts, mpsc::channel(1).1))
                    };
                    let request = upstream_request(&head, body)
                        .map_err(|error| format!("request to {host}: {error}"))?;
                    return self.send(connection, host, request).await;
                }
                Err(error) => last = format!("{host}: {error}"),
            }
        }
        Err(format!(
            "no upstream takes connections, the last was {last}"
        ))
    }

    /// Sends a request on an open connection. If a kept connection turns out to be closed, sends it
    /// on a new one to the same host.
    async fn send(
        &self,
        mut connection: Connection<Relay>,
        host: std::net::SocketAddr,
        request: Request<Relay>,
    ) -> Result<Answer, String> {
        let in_flight = self.upstreams.count(host);
        let failed = match connection.send(request).await {
            Ok(response) => {
                return Ok(Answer {
                    response,
                    connection,
                    in_flight,
                });
            }
            Err(failed) => failed,
        };
        let Some(request) = failed.unsent.filter(|_| connection.kept()) else {
            return Err(format!(
                "{host} broke off before it answered: {}",
                failed.error
            ));
        };
        let mut connection = self
            .pool
            .connect_anew(host)
            .await
            .map_err(|error| format!("{host}: {error}"))?;
        match connection.send(request).await {
            Ok(response) => Ok(Answer {
                response,
                connection,
                in_flight,
            }),
            Err(failed) => Err(format!(
                "{host} broke off before it answered: {}",
                failed.error
            )),
        }
    }

    async fn pass_back(
        &self,
        answer: Answer,
        answers: Pipe,
        session: Session,
        access: Access,
    ) -> Response<Relay> {
        if let Some(address) = access.upstream {
            let (key, value) = (session.key, address.to_string());
            session.mailbox.send(Event::Attribute {
                key,
                path: "upstream.address",
                value,
            });
        }
        let (head, body) = answer.response.into_parts();
        let mut map = to_filter(&head.headers);
        remove_hop_by_hop(&mut map);
        map.replace(":status", head.status.as_str());
        let body = (!body.is_end_stream()).then_some(body);
        let connection = answer.connection;
        let feed = |pipe, to| Feed {
            pipe,
            head: Some(map),
            body,
            to,
            connection: Some(connection),
        };
        self.answer(answers, feed, session, Some(answer.in_flight), access)
            .await
    }

    /// Returns the answer as the filter passes it on. A task feeds the body and ends the session.
    async fn answer(
        &self,
        answers: Pipe,
        feed: impl FnOnce(Pipe, mpsc::Sender<Part>) -> Feed,
        session: Session,
        in_flight: Option<InFlight>,
        mut access: Access,
    ) -> Response<Relay> {
        let (to, mut parts) = mpsc::channel(DEPTH);
        let (log, logged) = tokio::sync::oneshot::channel::<Access>();
        let feed = feed(answers, to);
        tokio::spawn(async move {
            let complete = feed.run().await;
            drop((session, in_flight));
            if let Ok(mut access) = logged.await {
                access.complete = complete;
            }
        });
        let Some(Part::Headers(head, end)) = parts.recv().await else {
            access.status = Some(502);
            return bare(StatusCode::BAD_GATEWAY);
        };
        let status = head
            .text(":status")
            .and_then(|status| status.parse().ok())
            .unwrap_or(StatusCode::BAD_GATEWAY);
        access.status = Some(status.as_u16());
        access.decision = self
            .explain_header
            .as_deref()
            .and_then(|name| head.text(name))
            .map(ToOwned::to_owned);
        // Dropping `access` logs it. The task drops it at the end of the body. If the task is gone,
        // this send drops it.
        let _ = log.send(access);
        let mut response = Response::new(if end {
            Relay::empty()
        } else {
            Relay::new(parts)
        });
        *response.status_mut() = status;
        *response.headers_mut() = from_filter(&head);
        response
    }
}

/// The source of a response body.
struct Feed {
    pipe: Pipe,
    head: Option<HeaderMap>,
    body: Option<Incoming>,
    to: mpsc::Sender<Part>,
    connection: Option<Connection<Relay>>,
}

impl Feed {
    async fn run(mut self) -> bool {
        let complete = pump(&mut self.pipe, self.head, self.body, self.to).await;
        if let Some(connection) = self.connection.filter(|_| complete) {
            connection.release();
        }
        complete
    }
}

/// Waits until the filter or the proxy answers by itself. Returns `false` if the request is reset.
async fn local_reply(answers: &mut Pipe) -> bool {
    loop {
        match answers.next().await {
            Passed::LocalReply => return true,
            Passed::Reset => return false,
            Passed::Part(_) | Passed::Done => {}
        }
    }
}

fn request_head(request: &Request<Incoming>) -> HeaderMap {
    let mut head = HeaderMap::new();
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    head.add(":method", request.method().as_str());
    head.add(":path", path);
    head.add(":scheme", "http");
    head.add(
        ":authority",
        request
            .headers()
            .get(hyper::header::HOST)
            .map_or(&b""[..], |host| host.as_bytes()),
    );
    for (name, value) in to_filter(request.headers())
        .iter()
        .filter(|(name, _)| *name != b"host")
    {
        head.add(name, value);
    }
    remove_hop_by_hop(&mut head);
    head
}

fn remove_hop_by_hop(head: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        head.remove(name);
    }
}

fn upstream_request(head: &HeaderMap, body: Relay) -> anyhow::Result<Request<Relay>> {
    let mut request = Request::builder()
        .method(head.text(":method").unwrap_or("GET"))
        .uri(head.text(":path").unwrap_or("/"))
        .body(body)?;
    *request.headers_mut() = from_filter(head);
    let host = head.get(b":authority").unwrap_or_default();
    request.headers_mut().insert(
        hyper::header::HOST,
        hyper::header::HeaderValue::from_bytes(host)?,
    );
    Ok(request)
}

fn bare(status: StatusCode) -> Response<Relay> {
    let mut response = Response::new(Relay::empty());
    *response.status_mut() = status;
    response
}
