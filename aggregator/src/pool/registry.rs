//! The pools that there are now. They come and go while the aggregator runs.

use super::membership;
use super::settings::PoolConfig;
use super::state::PoolState;
use crate::members::{self, Targets};
use crate::scrape::{Scraper, client};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// All pools by name. A pool that is removed, or whose registry is dropped, does nothing any more.
#[derive(Debug)]
pub(crate) struct Registry {
    pools: RwLock<BTreeMap<String, Running>>,
    /// Why there may be more pools than these; absent: all are known.
    missing: RwLock<Option<String>>,
    max_proxies: usize,
}

/// A pool and its tasks, which end when this is dropped.
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
    /// One without pools. `max_proxies`: see [`PoolState::new`].
    pub(crate) fn new(max_proxies: usize) -> Self {
        Self {
            pools: RwLock::default(),
            missing: RwLock::default(),
            max_proxies,
        }
    }

    /// Starts a pool, in place of one of the same name. Has to be called within a runtime.
    ///
    /// # Errors
    /// The system gave no random numbers for its epoch and secret.
    pub(crate) fn add(&self, config: &PoolConfig) -> Result<(), getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let state = PoolState::new(config, self.max_proxies, getrandom::u64()?, key);
        let running = Running {
            _tasks: start(config, &state),
            state,
        };
        let before = self.write(|pools| pools.insert(config.name.clone(), running));
        drop(before);
        Ok(())
    }

    /// Ends a pool: whoever waits for a table of its is answered.
    pub(crate) fn remove(&self, name: &str) {
        drop(self.write(|pools| pools.remove(name)));
    }

    /// Ends all pools: whoever waits for a table of theirs is answered.
    pub(crate) fn clear(&self) {
        drop(self.write(std::mem::take));
    }

    /// Calls `change` with the pools. What it gives back is dropped without the lock.
    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Running>) -> T) -> T {
        change(&mut self.pools.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Running>) -> T) -> T {
        read(&self.pools.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<PoolState>> {
        self.read(|pools| Some(Arc::clone(&pools.get(name)?.state)))
    }

    /// Says why there may be more pools; absent: all are known.
    pub(crate) fn set_missing(&self, why: Option<String>) {
        *self.missing.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What keeps the pools from being ready, in words, one thing each.
    pub(crate) fn missing(&self) -> Vec<String> {
        let missing = self.missing.read().unwrap_or_else(PoisonError::into_inner);
        let pools = self.all();
        let missing = missing.clone().into_iter();
        missing
            .chain(pools.iter().filter_map(|pool| pool.missing()))
            .collect()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<PoolState>> {
        let state = |running: &Running| Arc::clone(&running.state);
        self.read(|pools| pools.values().map(state).collect())
    }
}

/// Discovers, scrapes and publishes.
fn start(config: &PoolConfig, state: &Arc<PoolState>) -> JoinSet<()> {
    let (found, listed) = watch::channel(Targets::default());
    let (out, scraped) = watch::channel(Targets::default());
    let mut tasks = JoinSet::new();
    let metrics = Arc::clone(&state.metrics);
    tasks.spawn(members::run(config.discovery.clone(), found, metrics));
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
        // Its tasks are gone, and what they held.
        let alone = async {
            while Arc::strong_count(&second) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, alone).await.expect("tasks end");
    }
}
