//! All parts, started and stopped together.

use crate::config::Config;
use crate::pool::declared;
use crate::pool::registry::Registry;
use crate::serve::listen::Listener;
use crate::serve::role::Role;
use crate::serve::{Shared, router};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Answers under way get this long when it stops.
const GRACE: Duration = Duration::from_secs(10);

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; set `{setting}` to a free address of this machine")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// Where it was asked for.
        setting: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gave no random numbers for epochs and secrets.
    #[error("no random numbers from the system: {0}")]
    Random(String),
}

/// A configured aggregator that listens, follows its pools, and answers nobody yet.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Bound>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// What adds and removes pools.
    tasks: JoinSet<()>,
}

/// A listener, and whom it serves.
#[derive(Debug)]
struct Bound {
    listener: Listener,
    address: SocketAddr,
    roles: Vec<Role>,
}

impl App {
    /// Binds the addresses, and starts to discover, scrape and publish. Port 0 takes a free one, see [`App::address`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for (setting, address, roles) in config.listen.listeners() {
            let bind = |source| StartError::Bind {
                address: address.at,
                setting,
                source,
            };
            let listener = Listener::bind(address, &roles).await.map_err(bind)?;
            listeners.push(Bound {
                address: listener.address().map_err(bind)?,
                listener,
                roles,
            });
        }
        let registry = Registry::new(config.max_proxies);
        for pool in &config.pools {
            let random = |error: getrandom::Error| StartError::Random(error.to_string());
            registry.add(pool).map_err(random)?;
        }
        let registry = Arc::new(registry);
        let mut tasks = JoinSet::new();
        if let Some(from) = config.pools_from {
            registry.set_missing(Some("no InferencePools listed yet".to_owned()));
            let registry = Arc::clone(&registry);
            tasks.spawn(async move { declared::follow(&from, registry).await });
        }
        let (stop, stopping) = watch::channel(false);
        Ok(Self {
            listeners,
            shared: Arc::new(Shared { registry, stopping }),
            stop,
            tasks,
        })
    }

    /// Where it listens for proxies.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_for(Role::Proxies)
    }

    /// Where it listens for these.
    #[must_use]
    pub fn address_for(&self, role: Role) -> SocketAddr {
        let mut serving = self
            .listeners
            .iter()
            .filter(|one| one.roles.contains(&role));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        serving.next().map_or(nowhere, |one| one.address)
    }

    /// Serves until `shutdown` completes; then answers waiting proxies at once, lets other answers end and returns.
    ///
    /// # Errors
    /// A listener failed.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let Self {
            listeners,
            shared,
            stop,
            mut tasks,
        } = self;
        let mut serving = JoinSet::new();
        for Bound {
            listener, roles, ..
        } in listeners
        {
            let router = router(Arc::clone(&shared), &roles);
            let graceful = stopped(shared.stopping.clone());
            let serve = axum::serve(listener, router).with_graceful_shutdown(graceful);
            serving.spawn(serve.into_future());
        }
        let mut shutdown = std::pin::pin!(shutdown);
        tokio::select! {
            () = &mut shutdown => {}
            // Without one of them the others are no use.
            Some(ended) = serving.join_next() => return ended?,
        }
        tracing::info!("stopping");
        stop.send_replace(true);
        let all_answered = async {
            while let Some(ended) = serving.join_next().await {
                ended??;
            }
            Ok(())
        };
        let outcome = tokio::time::timeout(GRACE, all_answered).await;
        tasks.shutdown().await;
        shared.registry.clear();
        outcome.unwrap_or(Ok(()))
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, and serving with it.
    let _ = stopping.wait_for(|stop| *stop).await;
}
