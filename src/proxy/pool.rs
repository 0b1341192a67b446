//! Keeps connections to upstreams.
//!
//! The pool connects first and takes the request afterwards. Rejected: hyper-util's pooled client.
//! When it cannot connect, the request and its body are lost, and the next host cannot be tried.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most idle connections that are kept to one host.
const MAX_IDLE: usize = 64;

/// Idle connections by host.
#[derive(Debug)]
pub(super) struct Pool<B> {
    idle: Arc<Mutex<BTreeMap<SocketAddr, Vec<SendRequest<B>>>>>,
    connect_timeout: Duration,
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self {
            idle: Arc::clone(&self.idle),
            connect_timeout: self.connect_timeout,
        }
    }
}

/// An open connection. It carries one request at a time.
#[derive(Debug)]
pub(super) struct Connection<B> {
    pool: Pool<B>,
    address: SocketAddr,
    sender: SendRequest<B>,
    kept: bool,
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct SendFailed<B> {
    /// The request, if nothing of it was written. It may be tried again.
    pub(super) unsent: Option<Request<B>>,
    pub(super) error: hyper::Error,
}

impl<B> Pool<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(connect_timeout: Duration) -> Self {
        Self {
            idle: Arc::default(),
            connect_timeout,
        }
    }

    /// Returns a kept connection to `address`, or a new one.
    pub(super) async fn connect(&self, address: SocketAddr) -> anyhow::Result<Connection<B>> {
        while let Some(sender) = self.take(address) {
            if sender.is_ready() {
                return Ok(Connection {
                    pool: self.clone(),
                    address,
                    sender,
                    kept: true,
                });
            }
        }
        self.connect_anew(address).await
    }

    /// Returns a new connection to `address`.
    pub(super) async fn connect_anew(&self, address: SocketAddr) -> anyhow::Result<Connection<B>> {
        let stream =
            tokio::time::timeout(self.connect_timeout, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, "connection to upstream ended: {error}");
            }
        });
        Ok(Connection {
            pool: self.clone(),
            address,
            sender,
            kept: false,
        })
    }

    fn take(&self, address: SocketAddr) -> Option<SendRequest<B>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(&address)?.pop()
    }

    fn keep(&self, address: SocketAddr, sender: SendRequest<B>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let of_host = idle.entry(address).or_default();
        of_host.retain(|own| !own.is_closed());
        if of_host.len() < MAX_IDLE {
            of_host.push(sender);
        }
    }
}

impl<B> Connection<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Whether the connection was used before. The host may have closed it in the meantime.
    pub(super) const fn kept(&self) -> bool {
        self.kept
    }

    /// Sends the request. Returns the head of the answer; its body is still to come.
    pub(super) async fn send(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, SendFailed<B>> {
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut failed| SendFailed {
                unsent: failed.take_message(),
                error: failed.into_error(),
            })
    }

    /// Returns the connection to the pool as soon as it is ready. The caller has read the answer to
    /// its end.
    pub(super) fn release(mut self) {
        tokio::spawn(async move {
            if self.sender.ready().await.is_ok() {
                self.pool.keep(self.address, self.sender);
            }
        });
    }
}
