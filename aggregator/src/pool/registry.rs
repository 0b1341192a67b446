//! The pools of the aggregator. They come and go while it runs.

use super::membership;
use super::settings::PoolConfig;
use super::state::PoolState;
use crate::members::{self, Clusters, Targets};
use crate::scrape::{Scraper, client};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// All pools by name. Removing a pool, or dropping the registry, ends the pool's work.
#[derive(Debug)]
pub(crate) struct Registry {
    pools: RwLock<BTreeMap<String, Running>>,
    /// Why there may be more pools than these. Absent: all are known.
    missing: RwLock<Option<String>>,
    /// What pools share of the clusters that declare them.
    clusters: Clusters,
    max_proxies: usize,
}

/// A pool and its tasks. The tasks end when this is dropped.
#[derive(Debug)]
struct Running {
    state: Arc<PoolState>,
    _tasks: JoinSet<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.end();
    }
}

impl Registry {
    /// Makes a registry without pools. `max_proxies`: see [`PoolState::new`].
    pub(crate) fn new(max_proxies: usize) -> Self {
        Self {
            pools: RwLock::default(),
            missing: RwLock::default(),
            clusters: Clusters::default(),
            max_proxies,
        }
    }

    /// Starts a pool, and ends one of the same name. Must be called within a runtime.
    ///
    /// # Errors
    /// The system gave no random numbers for the epoch and the placement key.
    pub(crate) fn add(&self, config: &PoolConfig) -> Result<(), getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let state = PoolState::new(config, self.max_proxies, getrandom::u64()?, key);
        let running = Running {
            _tasks: start(config, &self.clusters, &state),
            state,
        };
        let before = self.write(|pools| pools.insert(config.name.clone(), running));
        drop(before);
        Ok(())
    }

    /// Ends a pool. Calls that wait for its tables are answered.
    pub(crate) fn remove(&self, name: &str) {
        drop(self.write(|pools| pools.remove(name)));
    }

    /// Ends all pools. Calls that wait for their tables are answered.
    pub(crate) fn clear(&self) {
        drop(self.write(std::mem::take));
    }

    /// Calls `change` with the pools. The caller drops the result outside of the lock.
    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Running>) -> T) -> T {
        change(&mut self.pools.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Running>) -> T) -> T {
        read(&self.pools.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<PoolState>> {
        self.read(|pools| Some(Arc::clone(&pools.get(name)?.state)))
    }

    /// Sets why there may be more pools. `None`: all are known.
    pub(crate) fn set_missing(&self, why: Option<String>) {
        *self.missing.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Says what keeps the pools from being ready, one text for each thing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let missing = self.missing.read().unwrap_or_else(PoisonError::into_inner);
        let pools = self.all();
        let missing = missing.clone().into_iter();
        missing
            .chain(pools.iter().filter_map(|pool| pool.missing()))
            .collect()
    }

    /// Returns all pools, ordered by name.
    pub(crate) fn all(&self) -> Vec<Arc<PoolState>> {
        let state = |running: &Running| Arc::clone(&running.state);
        self.read(|pools| pools.values().map(state).collect())
    }
}

/// Starts the tasks of a pool: discovery, scraping and publishing.
fn start(config: &PoolConfig, clusters: &Clusters, state: &Arc<PoolState>) -> JoinSet<()> {
    let (found, listed) = watch::channel(Targets::default());
    let (out, scraped) = watch::channel(Targets::default());
    let mut tasks = JoinSet::new();
    let metrics = Arc::clone(&state.metrics);
    let (discovery, clusters) = (config.discovery.clone(), clusters.clone());
    tasks.spawn(members::run(discovery, clusters, found, metrics));
    tasks.spawn(membership::follow(listed, Arc::clone(state), out));
    let client = client(&config.scrape);
    let scraper = Scraper::new(Arc::clone(state), config.scrape.clone(), client);
    tasks.spawn(scraper.run(scraped));
    tasks.spawn(Arc::clone(state).publish_forever());
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn pool(name: &str) -> PoolConfig {
        let text = format!("pools: [{{name: {name}, discovery: {{endpoints: []}}}}]");
        Config::from_yaml(&text).expect("valid").pools.remove(0)
    }

    #[tokio::test]
    async fn pools_come_and_go_and_who_waits_for_one_that_goes_is_answered() {
        let registry = Registry::new(10);
        for name in ["b", "a"] {
            registry.add(&pool(name)).expect("random numbers");
        }
        let names = |registry: &Registry| {
            let pools = registry.all();
            pools
                .iter()
                .map(|pool| pool.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&registry), ["a", "b"]);
        let first = registry.get("a").expect("there");
        let (mut ended, mut tables) = (first.ended(), first.subscribe());
        tables.wait_for(Option::is_some).await.expect("a table");
        registry.add(&pool("a")).expect("random numbers");
        assert!(*ended.wait_for(|ended| *ended).await.expect("told"));
        let second = registry.get("a").expect("there");
        assert!(!Arc::ptr_eq(&first, &second) && !*second.ended().borrow());
        registry.clear();
        assert!(registry.get("a").is_none() && *second.ended().borrow());
        // The tasks have ended and dropped what they held.
        let alone = async {
            while Arc::strong_count(&second) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, alone).await.expect("tasks end");
    }
}
