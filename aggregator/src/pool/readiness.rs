//! Says what keeps a pool from being ready.

use super::untried::Untried;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many of the missing endpoints are named.
const NAMED: usize = 5;

/// The readiness of one pool. All times count from the pool's start.
#[derive(Debug)]
pub(super) struct Readiness {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    untried: Untried,
    discovery_error: Option<String>,
}

impl Readiness {
    /// `round`: how long it takes to scrape each endpoint once.
    pub(super) fn new(round: Duration) -> Self {
        Self {
            inner: Mutex::new(Inner {
                untried: Untried::new(round),
                discovery_error: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a list, or the reason why discovery has none.
    pub(super) fn on_list(
        &self,
        now: Duration,
        listed: Option<BTreeSet<String>>,
        error: Option<&String>,
    ) {
        let mut inner = self.lock();
        inner.discovery_error = error.cloned();
        if let Some(listed) = listed {
            inner.untried.on_list(now, listed);
        }
    }

    /// Notes that the endpoint was scraped, with or without success.
    pub(super) fn on_scrape(&self, address: &str) {
        self.lock().untried.on_scrape(address);
    }

    /// Whether there may be a table.
    pub(super) fn allows_a_table(&self, now: Duration) -> bool {
        self.lock().untried.allows_a_table(now)
    }

    /// Says what is missing. `None`: nothing is.
    pub(super) fn missing(&self, has_table: bool) -> Option<String> {
        let inner = self.lock();
        let Some(untried) = inner.untried.left() else {
            let why = inner.discovery_error.as_ref();
            let why = why.map_or(String::new(), |error| format!(": {error}"));
            return Some(format!("no endpoints listed yet{why}"));
        };
        if !untried.is_empty() {
            let some: Vec<&str> = untried.iter().map(String::as_str).take(NAMED).collect();
            let (count, some) = (untried.len(), some.join(", "));
            return Some(format!(
                "{count} endpoints not scraped yet, among them {some}"
            ));
        }
        (!has_table).then(|| "no table published yet".to_owned())
    }
}
