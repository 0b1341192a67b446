//! Starts and stops all parts of the aggregator together.

use crate::config::Config;
use crate::metrics::ListenerMetrics;
use crate::pool::declared;
use crate::pool::registry::Registry;
use crate::serve::allow::Gate;
use crate::serve::connections::{Serving, serve};
use crate::serve::files::Newest;
use crate::serve::listen::Listener;
use crate::serve::role::Role;
use crate::serve::settings::ListenerSettings;
use crate::serve::{Shared, router, tls};
use rustls::ServerConfig;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long answers under way may take after the shutdown begins.
const GRACE: Duration = Duration::from_secs(10);

/// Why the aggregator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address}; set `{setting}` to a free address of this machine")]
    Bind {
        /// The address that the configuration names.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A file of a listener cannot be used: a certificate, a key, a CA, secrets.
    #[error("{0}")]
    File(String),
    /// The system gave no random numbers for epochs and secrets.
    #[error("no random numbers from the system: {0}")]
    Random(String),
}

/// A configured aggregator. It listens and follows its pools, but does not answer yet.
#[derive(Debug)]
pub struct App {
    listeners: Vec<Bound>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// The task that adds and removes pools, if the configuration has `pools_from`.
    tasks: JoinSet<()>,
}

/// A bound listener and the roles that it serves.
#[derive(Debug)]
struct Bound {
    listener: Listener,
    address: SocketAddr,
    roles: Vec<Role>,
    tls: Option<Newest<ServerConfig>>,
    gate: Option<Arc<Gate>>,
    metrics: Arc<ListenerMetrics>,
}

impl Bound {
    async fn new(
        setting: &'static str,
        settings: &ListenerSettings,
        roles: Vec<Role>,
    ) -> Result<Self, StartError> {
        let bind = |source| StartError::Bind {
            address: settings.at,
            setting,
            source,
        };
        let metrics = ListenerMetrics::new(roles.first().map_or("", |role| role.name()));
        let section = setting.trim_end_matches("listen");
        let allow = settings.allow.as_ref();
        let asks = allow.is_some_and(|allow| allow.client_certificates.is_some());
        let secured = settings.tls.as_ref().map(|settings| {
            tls::source(settings, &format!("{section}tls"), asks).start(Arc::clone(&metrics))
        });
        let gate = allow.map(|allow| Gate::new(allow, &format!("{section}allow"), &metrics));
        let listener = Listener::bind(settings, &roles).await.map_err(bind)?;
        Ok(Self {
            address: listener.address().map_err(bind)?,
            listener,
            roles,
            tls: secured.transpose().map_err(StartError::File)?,
            gate: gate.transpose().map_err(StartError::File)?.map(Arc::new),
            metrics,
        })
    }
}

impl App {
    /// Binds the addresses, then starts discovery, scraping and publishing.
    ///
    /// Port 0 takes a free port; [`App::address`] returns it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for (setting, address, roles) in config.listen.listeners() {
            listeners.push(Bound::new(setting, address, roles).await?);
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
        let metrics = listeners
            .iter()
            .map(|one| Arc::clone(&one.metrics))
            .collect();
        let (stop, stopping) = watch::channel(false);
        Ok(Self {
            listeners,
            shared: Arc::new(Shared {
                registry,
                listeners: metrics,
                stopping,
            }),
            stop,
            tasks,
        })
    }

    /// Returns the address at which the aggregator listens for proxies.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_for(Role::Proxies)
    }

    /// Returns the address at which the aggregator listens for callers of this role.
    #[must_use]
    pub fn address_for(&self, role: Role) -> SocketAddr {
        let mut serving = self
            .listeners
            .iter()
            .filter(|one| one.roles.contains(&role));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        serving.next().map_or(nowhere, |one| one.address)
    }

    /// Serves until `shutdown` completes. Then answers waiting proxies at once, lets other answers
    /// end within `GRACE`, and returns.
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
        for one in listeners {
            let idle = one.listener.idle();
            let how = Serving {
                router: router(Arc::clone(&shared), &one.roles, one.gate.as_ref()),
                tls: one.tls,
                metrics: one.metrics,
                stopping: shared.stopping.clone(),
                idle,
            };
            serving.spawn(serve(one.listener, how));
        }
        let mut shutdown = std::pin::pin!(shutdown);
        tokio::select! {
            () = &mut shutdown => {}
            // Without one of the listeners the others are of no use.
            Some(ended) = serving.join_next() => return Ok(ended?),
        }
        tracing::info!("stopping");
        stop.send_replace(true);
        let all_answered = async {
            while let Some(ended) = serving.join_next().await {
                ended?;
            }
            Ok(())
        };
        let outcome = tokio::time::timeout(GRACE, all_answered).await;
        tasks.shutdown().await;
        shared.registry.clear();
        outcome.unwrap_or(Ok(()))
    }
}
