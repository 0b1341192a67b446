//! Endpoints of the first list that have not been scraped yet. The first table waits for them for a
//! bounded time.

use std::collections::BTreeSet;
use std::time::Duration;

/// The longest time for which the first table waits.
const MOST_WAIT: Duration = Duration::from_secs(3);

/// The untried endpoints of one pool.
#[derive(Debug)]
pub(super) struct Untried {
    /// How long it takes to scrape each endpoint once.
    round: Duration,
    /// When the first list came, and which of its endpoints have not been scraped yet, with or
    /// without success. Absent: no list has come.
    left: Option<(Duration, BTreeSet<String>)>,
}

impl Untried {
    /// `round`: how long it takes to scrape each endpoint once.
    pub(super) fn new(round: Duration) -> Self {
        Self { round, left: None }
    }

    /// Takes over a list. Endpoints that join later are not added: they do not make a ready pool
    /// unready.
    pub(super) fn on_list(&mut self, now: Duration, listed: BTreeSet<String>) {
        match &mut self.left {
            Some((_, left)) => left.retain(|address| listed.contains(address)),
            None => self.left = Some((now, listed)),
        }
    }

    /// Notes that the endpoint was scraped, with or without success.
    pub(super) fn on_scrape(&mut self, address: &str) {
        if let Some((_, left)) = &mut self.left {
            left.remove(address);
        }
    }

    /// Returns the endpoints that are left. `None`: no list has come.
    pub(super) fn left(&self) -> Option<&BTreeSet<String>> {
        self.left.as_ref().map(|(_, left)| left)
    }

    /// Whether there may be a table. Without any scrape all endpoints would be equally suspect in
    /// it. Proxies would then use also those that their last table says are gone or asleep.
    pub(super) fn allows_a_table(&self, now: Duration) -> bool {
        self.left.as_ref().is_some_and(|(since, left)| {
            left.is_empty() || now.saturating_sub(*since) >= self.round.min(MOST_WAIT)
        })
    }
}
