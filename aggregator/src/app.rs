//! All parts, started and stopped together.

use crate::config::{Config, PoolConfig};
use crate::members::{self, Targets};
use crate::metrics::PoolMetrics;
use crate::pool::state::PoolState;
use crate::scrape::{Scraper, client};
use crate::serve::listen::Listener;
use crate::serve::{Shared, router};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use trimtab_estimate::Pool;

/// Answers under way get this long when it stops.
const GRACE: Duration = Duration::from_secs(10);

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}; set `listen` to a free address of this machine")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gave no random numbers for epochs and secrets.
    #[error("no random numbers from the system: {0}")]
    Random(String),
}

/// A configured aggregator that listens and does nothing else yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    address: SocketAddr,
    listener: Listener,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

impl App {
    /// Binds the address; port 0 takes a free one, see [`App::address`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let bind = |source| StartError::Bind {
            address: config.listen,
            source,
        };
        let listener = Listener::bind(config.listen, config.max_connections)
            .await
            .map_err(bind)?;
        let address = listener.address().map_err(bind)?;
        let mut pools = BTreeMap::new();
        for pool in &config.pools {
            pools.insert(pool.name.clone(), pool_state(pool, config.max_proxies)?);
        }
        let (stop, stopping) = watch::channel(false);
        let waiting = Semaphore::new(config.max_proxies.saturating_mul(pools.len().max(1)));
        let shared = Arc::new(Shared {
            pools,
            waiting,
            stopping,
        });
        Ok(Self {
            config,
            address,
            listener,
            shared,
            stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Discovers, scrapes, publishes and serves until `shutdown` completes; then answers waiting proxies at once, lets other answers
    /// end and returns.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let Self {
            config,
            listener,
            shared,
            stop,
            ..
        } = self;
        // Dropped at the end, which ends all of them.
        let mut tasks = JoinSet::new();
        for pool in &config.pools {
            if let Some(state) = shared.pools.get(&pool.name) {
                start_pool(pool, state, &mut tasks);
            }
        }
        let mut stopping = shared.stopping.clone();
        let graceful = async move {
            shutdown.await;
            tracing::info!("stopping");
            stop.send_replace(true);
        };
        let serving = axum::serve(listener, router(shared)).with_graceful_shutdown(graceful);
        let too_late = async move {
            // An error means that the sender is gone, and serving with it.
            let _ = stopping.wait_for(|stop| *stop).await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = serving.into_future() => served,
            () = too_late => Ok(()),
        }
    }
}

fn pool_state(config: &PoolConfig, max_proxies: usize) -> Result<Arc<PoolState>, StartError> {
    let random = |error: getrandom::Error| StartError::Random(error.to_string());
    let key = match config.placement_key {
        Some(key) => key,
        None => {
            let mut key = [0; 16];
            getrandom::fill(&mut key).map_err(random)?;
            key
        }
    };
    let mut estimate =
        trimtab_estimate::PoolConfig::new(&config.name, getrandom::u64().map_err(random)?, key);
    estimate.suspect_after = config.suspect_after;
    estimate.max_proxies = max_proxies;
    estimate.adapter_load_s = config.adapter_load_s;
    estimate.priors = config.classes.iter().cloned().collect();
    Ok(PoolState::new(
        config,
        Pool::new(estimate),
        PoolMetrics::new(&config.name),
    ))
}

fn start_pool(config: &PoolConfig, state: &Arc<PoolState>, tasks: &mut JoinSet<()>) {
    let (out, targets) = watch::channel(Targets::default());
    tasks.spawn(members::run(
        config.discovery.clone(),
        out,
        Arc::clone(&state.metrics),
    ));
    tasks.spawn(
        Scraper::new(
            Arc::clone(state),
            config.scrape.clone(),
            client(&config.scrape),
        )
        .run(targets),
    );
    tasks.spawn(Arc::clone(state).publish_forever());
}
