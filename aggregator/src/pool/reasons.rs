//! Why scrapes fail and endpoints get no requests, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use trimtab_loadtable::Table;

/// How many endpoints per table the log names because their doubt has changed.
const MOST_LOGGED: usize = 20;
/// How many characters of a reason are kept. Servers write part of them.
const MOST_CHARS: usize = 400;

/// The reasons of one pool, by address of each listed endpoint: why its last scrape brought no
/// sample in time. `None`: it did.
#[derive(Debug, Default)]
pub(crate) struct Reasons(Mutex<BTreeMap<String, Option<String>>>);

impl Reasons {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the reason of a failed scrape. Does nothing if the endpoint has left the list
    /// meanwhile.
    pub(crate) fn set(&self, address: &str, reason: &str) {
        let shown = reason.chars().take(MOST_CHARS);
        let shown = shown.map(|char| if char.is_control() { ' ' } else { char });
        if let Some(last) = self.lock().get_mut(address) {
            *last = Some(shown.collect());
        }
    }

    /// Removes the reason, after a scrape that succeeded in time.
    pub(super) fn clear(&self, address: &str) {
        if let Some(last) = self.lock().get_mut(address) {
            *last = None;
        }
    }

    /// Takes over a list. `is_kept` says whether the endpoint at an address may be the same as
    /// before.
    pub(super) fn on_list(&self, listed: &BTreeSet<String>, is_kept: impl Fn(&str) -> bool) {
        let mut reasons = self.lock();
        reasons.retain(|address, _| listed.contains(address) && is_kept(address));
        for address in listed {
            reasons.entry(address.clone()).or_default();
        }
    }

    /// Returns why the endpoint's last scrape failed. `None`: it did not.
    pub(crate) fn of(&self, address: &str) -> Option<String> {
        self.lock().get(address).cloned().flatten()
    }

    /// Returns the first `most` reasons, by address.
    pub(crate) fn first(&self, most: usize) -> BTreeMap<String, String> {
        let all = self.lock();
        all.iter()
            .filter_map(|(address, reason)| Some((address.clone(), reason.clone()?)))
            .take(most)
            .collect()
    }
}

/// Logs the endpoints whose doubt has changed since the `last` table.
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
    // The table has the rest. A pool with many failures must not fill the log.
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
        let list = |listed: &[&str], other: &str| {
            let listed = listed.iter().map(|address| (*address).to_owned()).collect();
            reasons.on_list(&listed, |address| address != other);
        };
        list(&["a", "b"], "");
        reasons.set("a", "status 500");
        reasons.set("a", "status\n401");
        reasons.set("b", &"x".repeat(10_000));
        assert_eq!(reasons.of("a").as_deref(), Some("status 401"));
        assert_eq!(reasons.of("b").map(|reason| reason.len()), Some(MOST_CHARS));
        assert_eq!(reasons.first(1).len(), 1);
        reasons.clear("a");
        assert_eq!(reasons.of("a"), None);
        list(&["a", "b"], "");
        assert_eq!(reasons.first(9).len(), 1);
        list(&["a", "b"], "b");
        assert_eq!(reasons.of("b"), None, "another one at its address");
        list(&["a"], "");
        // The last scrape of an endpoint that has left the list.
        reasons.set("b", "status 500");
        assert_eq!(reasons.first(9), BTreeMap::new());
    }
}
