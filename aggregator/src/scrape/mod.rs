//! The scraper: one task per endpoint.
//!
//! Comes in: lists of targets, which the pool has already. Goes out: one outcome per scrape to [`PoolState`]. Never: more than the
//! configured number of requests at a time, a page larger than allowed, two scrapes of one endpoint at a time; one endpoint's failure
//! touches no other.

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

/// Scrapes that may take longer than the timeout at the same time, however few may run at the same time otherwise: they only wait.
const LEAST_OVERTIME: usize = 64;

/// What the tasks of one pool share.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) pool: Arc<PoolState>,
    pub(crate) settings: Scrape,
    pub(crate) client: Client,
    permits: Semaphore,
    /// For scrapes that take longer than the timeout, so that they keep no other from its turn.
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

    /// Scrapes whatever is listed, until discovery ends. Dropping the future ends all scrapes.
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
            // Draining or another zone do not change how a page is fetched.
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
