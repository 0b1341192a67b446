//! Accepts connections, shakes hands where the listener has TLS, and serves HTTP/1.1 and HTTP/2.

use super::allow::Peer;
use super::files::Newest;
use super::listen::{Connection, Listener};
use crate::metrics::ListenerMetrics;
use crate::metrics::labels::Handshake;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::serve::Listener as _;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How many handshakes may be under way. Further connections wait in the kernel's queue.
const HANDSHAKES: usize = 512;
/// The most bytes of a request's headers.
const HEADER_BYTES: u32 = 64 * 1024;
/// How many requests of one connection may be under way, with HTTP/2.
const STREAMS: u32 = 128;

/// What a listener serves, and how.
pub(crate) struct Serving {
    pub(crate) router: Router,
    /// Absent: plain HTTP.
    pub(crate) tls: Option<Newest<ServerConfig>>,
    pub(crate) metrics: Arc<ListenerMetrics>,
    /// Turns true when the aggregator stops.
    pub(crate) stopping: watch::Receiver<bool>,
    /// How long a request's headers may take, in HTTP/1.1 from the end of the one before.
    pub(crate) idle: Duration,
}

/// Serves until `stopping`, then until all answers under way have ended.
pub(crate) async fn serve(mut listener: Listener, serving: Serving) {
    let serving = Arc::new(serving);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = match serving.tls {
                // The semaphore is never closed.
                Some(_) => Arc::clone(&handshakes).acquire_owned().await.ok(),
                None => None,
            };
            (listener.accept().await.0, place)
        };
        tokio::select! {
            (stream, place) = accept => {
                connections.spawn(converse(stream, place, Arc::clone(&serving)));
            }
            // Those that have ended take no memory.
            Some(_) = connections.join_next() => {}
            () = stopped(serving.stopping.clone()) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse(
    stream: Connection<TcpStream>,
    place: Option<OwnedSemaphorePermit>,
    serving: Arc<Serving>,
) {
    let Some(tls) = &serving.tls else {
        return answer(stream, Peer::default(), &serving).await;
    };
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
    let shaken = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await;
    drop(place);
    let (result, why) = match shaken {
        Ok(Ok(stream)) => {
            serving.metrics.handshakes.count(Handshake::Ok);
            let chain = stream.get_ref().1.peer_certificates();
            let chain = chain.unwrap_or_default().iter();
            let peer = Peer::new(chain.map(|one| one.clone().into_owned()).collect());
            return answer(stream, peer, &serving).await;
        }
        Ok(Err(error)) => (Handshake::Failed, error.to_string()),
        Err(_) => (Handshake::Timeout, "it takes too long".to_owned()),
    };
    serving.metrics.handshakes.count(result);
    tracing::debug!(listener = serving.metrics.listener, why, "no TLS handshake");
}

async fn answer<S>(stream: S, peer: Peer, serving: &Serving)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, inner) = (
        Arc::new(peer),
        TowerToHyperService::new(serving.router.clone()),
    );
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&peer));
        inner.call(request.map(Body::new))
    });
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(serving.idle)
        .max_buf_size(HEADER_BYTES as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(STREAMS);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stopped(serving.stopping.clone()) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "a connection broke");
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, and serving ends with it.
    let _ = stopping.wait_for(|stop| *stop).await;
}
