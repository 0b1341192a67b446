//! The scraper: one task per endpoint.
//!
//! Input: lists of targets that the pool already has. Output: the outcome of each scrape, to
//! [`PoolState`].
//!
//! At most `concurrency` scrapes run at a time, apart from those that take longer than the timeout.
//! An endpoint has at most one scrape at a time. No page is larger than allowed. The failure of one
//! endpoint does not affect the others.

mod client;
mod failure;
mod fetch;
mod follow;
mod form;
pub mod page;
mod protocol;
mod redirect;
pub(crate) mod settings;
mod tls;
mod token;

pub(crate) use client::{Client, client};

use crate::members::{Target, Targets};
use crate::pool::state::PoolState;
use settings::Scrape;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Least number of scrapes that may take longer than the timeout at the same time. They only wait,
/// so a small `concurrency` does not bound them.
const LEAST_OVERTIME: usize = 64;

/// What the scrape tasks of one pool share.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) pool: Arc<PoolState>,
    pub(crate) settings: Scrape,
    pub(crate) client: Client,
    permits: Semaphore,
    /// Places for scrapes that take longer than the timeout, so that they do not delay others.
    overtime: Semaphore,
}

impl Scraper {
    pub(crate) fn new(pool: Arc<PoolState>, settings: Scrape, client: Client) -> Arc<Self> {
        let permits = Semaphore::new(settings.concurrency);
        let overtime = Semaphore::new(settings.concurrency.max(LEAST_OVERTIME));
        Arc::new(Self {
            pool,
            settings,
            client,
            permits,
            overtime,
        })
    }

    /// Scrapes the listed targets until discovery ends. Dropping the future ends all scrapes.
    pub(crate) async fn run(self: Arc<Self>, mut targets: watch::Receiver<Targets>) {
        let mut tasks = JoinSet::new();
        let mut running: HashMap<String, (Target, AbortHandle)> = HashMap::new();
        loop {
            let listed = targets.borrow_and_update().listed.clone();
            if let Some(list) = listed {
                self.start_and_stop(&list, &mut running, &mut tasks);
            }
            tokio::select! {
                changed = targets.changed() => if changed.is_err() { break },
                Some(_) = tasks.join_next() => {}
            }
        }
        std::future::pending::<()>().await;
    }

    fn start_and_stop(
        self: &Arc<Self>,
        list: &[Target],
        running: &mut HashMap<String, (Target, AbortHandle)>,
        tasks: &mut JoinSet<()>,
    ) {
        let listed: HashMap<&str, &Target> = list
            .iter()
            .map(|target| (target.spec.address.as_str(), target))
            .collect();
        running.retain(|address, (target, task)| {
            // Draining or the zone do not change how a page is fetched.
            let same = listed.get(address.as_str()).is_some_and(|now| {
                now.metrics == target.metrics && now.engine == target.engine && now.id == target.id
            });
            if !same {
                task.abort();
            }
            same && !task.is_finished()
        });
        for target in list {
            if !running.contains_key(&target.spec.address) {
                let task = tasks.spawn(Arc::clone(self).follow(target.clone()));
                running.insert(target.spec.address.clone(), (target.clone(), task));
            }
        }
    }
}
