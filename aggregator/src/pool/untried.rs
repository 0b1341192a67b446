//! Endpoints of the first list that have not been scraped yet, and how long the first table waits for them.

use std::collections::BTreeSet;
use std::time::Duration;

/// The first table waits at most so long.
const MOST_WAIT: Duration = Duration::from_secs(3);

/// Those of one pool.
#[derive(Debug)]
pub(super) struct Untried {
    /// What scraping each endpoint once takes.
    round: Duration,
    /// When the first list came, and who of it was not scraped, with or without success; absent: there was no list.
    left: Option<(Duration, BTreeSet<String>)>,
}

impl Untried {
    /// `round`: what scraping each endpoint once takes.
    pub(super) fn new(round: Duration) -> Self {
        Self { round, left: None }
    }

    /// A list came. Endpoints that join later do not make a ready pool unready.
    pub(super) fn on_list(&mut self, now: Duration, listed: BTreeSet<String>) {
        match &mut self.left {
            Some((_, left)) => left.retain(|address| listed.contains(address)),
            None => self.left = Some((now, listed)),
        }
    }

    /// It was tried.
    pub(super) fn on_scrape(&mut self, address: &str) {
        if let Some((_, left)) = &mut self.left {
            left.remove(address);
        }
    }

    /// Who is left; absent: there was no list.
    pub(super) fn left(&self) -> Option<&BTreeSet<String>> {
        self.left.as_ref().map(|(_, left)| left)
    }

    /// Whether there may be a table. One in which nobody has been scraped would tell proxies that all are as suspect as each other, also
    /// those of which their last table said that they are gone or asleep.
    pub(super) fn allows_a_table(&self, now: Duration) -> bool {
        self.left.as_ref().is_some_and(|(since, left)| {
            left.is_empty() || now.saturating_sub(*since) >= self.round.min(MOST_WAIT)
        })
    }
}
