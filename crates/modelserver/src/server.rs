//! One listening server: accepts connections, serves them, and ends them gently or at once.

use crate::adapters::Adapters;
use crate::api::{self, Shared};
use crate::driver::Driver;
use crate::metrics::Observed;
use crate::spec::{Spec, SpecError};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use trimtab_engine::{Engine, ProfileError};

/// Time after which a connection is closed if its client has sent no request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a failed accept. The usual cause is that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running model server. Dropping it is the same as [`Server::abort`].
#[derive(Debug)]
pub struct Server {
    name: String,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    accept: Task,
    driver: Task,
}

/// Returns what to do if the server cannot listen on an address.
fn bind_fix(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
        std::io::ErrorKind::PermissionDenied => "choose a port from 1024, or 0 for a free one",
        _ => "choose another port, or 0 for a free one",
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spec is invalid. Nothing was started.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The engine refused the profile.
    #[error("model server {name:?}")]
    Profile {
        /// The server's name.
        name: String,
        /// The field that is out of range.
        source: ProfileError,
    },
    /// The server cannot listen on the address.
    #[error(
        "model server {name:?} cannot listen on {address}; {}",
        bind_fix(source)
    )]
    Bind {
        /// The server's name.
        name: String,
        /// The address in the spec.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
}

/// A task that is aborted when this handle is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    /// Starts a server. It accepts connections when this returns.
    ///
    /// # Errors
    /// Returns an error when the spec is invalid, or the server cannot listen on its address.
    pub async fn start(spec: Spec) -> Result<Self, StartError> {
        spec.check()?;
        let name = spec.name.clone();
        let engine =
            Engine::new(spec.effective_profile()).map_err(|source| StartError::Profile {
                name: name.clone(),
                source,
            })?;
        let wanted = SocketAddr::new(spec.address, spec.port);
        let bind = |source| StartError::Bind {
            name: name.clone(),
            address: wanted,
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;

        let mut adapters = Adapters::default();
        for adapter in &spec.adapters {
            // A name that is in the list twice is one adapter.
            let _ = adapters.load(adapter, &format!("/adapters/{adapter}"));
        }
        let adapters = Arc::new(RwLock::new(adapters));
        let observed = Arc::new(Mutex::new(Observed::new(spec.context_tokens())));
        let (commands, receiver) = mpsc::unbounded_channel();
        let driver = Driver::new(engine, receiver, observed.clone(), adapters.clone());
        let shared = Arc::new(Shared::new(spec, commands, observed, adapters));
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            name,
            address,
            stop,
            accept: Task(tokio::spawn(serve(listener, api::router(shared), stopped))),
            driver: Task(tokio::spawn(driver.run())),
        })
    }

    /// Returns the name from the spec.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address and port on which the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, finishes the current streams and closes idle connections. Takes as long as
    /// the longest answer. To stop waiting, drop the future. This ends all streams at once.
    pub async fn shutdown(self) {
        let Self {
            stop,
            mut accept,
            driver,
            ..
        } = self;
        // The receiver is dropped only with its task. Then there is nothing to stop.
        let _ = stop.send(());
        let _ = (&mut accept.0).await;
        drop(driver);
    }

    /// Drops the listener and every connection at once, as when the process dies.
    pub async fn abort(self) {
        let Self {
            mut accept, driver, ..
        } = self;
        accept.0.abort();
        let _ = (&mut accept.0).await;
        drop(driver);
    }
}

async fn serve(listener: TcpListener, router: axum::Router, mut stop: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    // This set ends its connections when it is dropped, so aborting this task ends them all.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(graceful.watch(connection(stream, &router)));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed; is the limit of open files too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

type Connection =
    hyper::server::conn::http1::Connection<TokioIo<TcpStream>, TowerToHyperService<axum::Router>>;

fn connection(stream: TcpStream, router: &axum::Router) -> Connection {
    // Tokens are small writes that a client waits for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(router.clone()),
        )
}
