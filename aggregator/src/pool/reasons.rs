//! Why scrapes fail and endpoints get no requests, in words.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use trimtab_loadtable::Table;

/// Most endpoints per table of which the log says that they get no requests any more, or get some again.
const MOST_LOGGED: usize = 20;
/// Characters kept of a reason: servers have a say in them.
const MOST_CHARS: usize = 400;

/// Those of one pool, by address, of endpoints whose last scrape brought no sample in time.
#[derive(Debug, Default)]
pub(crate) struct Reasons(Mutex<BTreeMap<String, String>>);

impl Reasons {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A scrape failed.
    pub(crate) fn set(&self, address: &str, reason: &str) {
        let shown = reason.chars().take(MOST_CHARS);
        let shown = shown.map(|char| if char.is_control() { ' ' } else { char });
        self.lock().insert(address.to_owned(), shown.collect());
    }

    /// A scrape succeeded in time.
    pub(super) fn clear(&self, address: &str) {
        self.lock().remove(address);
    }

    /// Only these endpoints are listed.
    pub(super) fn retain(&self, is_listed: impl Fn(&str) -> bool) {
        self.lock().retain(|address, _| is_listed(address));
    }

    /// Why the last scrape of an endpoint failed; absent: it did not.
    pub(crate) fn of(&self, address: &str) -> Option<String> {
        self.lock().get(address).cloned()
    }

    /// The first `most`, by address.
    pub(crate) fn first(&self, most: usize) -> BTreeMap<String, String> {
        let all = self.lock();
        let first = all.iter().take(most);
        first
            .map(|(address, reason)| (address.clone(), reason.clone()))
            .collect()
    }
}

/// Says which endpoints get no requests any more, or get some again, since the `last` table.
pub(super) fn log_doubts(pool: &str, reasons: &Reasons, last: Option<&Table>, table: &Table) {
    let before = |address: &str| {
        let rows = &last?.endpoints;
        let at = rows.binary_search_by(|row| row.address.as_str().cmp(address));
        rows.get(at.ok()?)?.doubt
    };
    let changed = table
        .endpoints
        .iter()
        .map(|row| (row, before(&row.address)))
        .filter(|(row, before)| row.doubt != *before);
    // The rest is in the table; a pool that falls apart must not fill the log.
    for (row, _) in changed.take(MOST_LOGGED) {
        let endpoint = &row.address;
        match row.doubt {
            Some(doubt) => {
                let (doubt, means) = (doubt.as_str(), doubt.explanation());
                let reason = reasons.of(endpoint);
                tracing::warn!(pool, endpoint, doubt, reason, "{means}");
            }
            None => tracing::info!(pool, endpoint, "the endpoint gets requests again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_stays_until_a_scrape_succeeds_or_the_endpoint_is_gone() {
        let reasons = Reasons::default();
        reasons.set("a", "status 500");
        reasons.set("a", "status\n401");
        reasons.set("b", &"x".repeat(10_000));
        assert_eq!(reasons.of("a").as_deref(), Some("status 401"));
        assert_eq!(reasons.of("b").map(|reason| reason.len()), Some(MOST_CHARS));
        assert_eq!(reasons.first(1).len(), 1);
        reasons.clear("a");
        assert_eq!(reasons.of("a"), None);
        reasons.retain(|address| address != "b");
        assert_eq!(reasons.first(9), BTreeMap::new());
    }
}
