//! What is reported once and not as a total: requests per shared beginning of prompts,
//! conversations that moved, what endpoints keep, and what was seen at them.
//!
//! A worker writes its lists with every report, under their own number. It writes the same lists
//! until the holder of the lease has taken them; what comes in between waits in the worker. So
//! nothing is lost if a report is overwritten before it is read, and nothing counts twice if one is
//! read twice.

use std::collections::BTreeMap;

use trimtab_loadtable::{EndpointReport, Moved, PrefixCount, Report, Seen, limits};
use trimtab_pick::EndpointId;

/// The most shared beginnings that the holder of the lease counts before it keeps those with the
/// most requests. Bounds its memory.
const MERGED_PREFIXES: usize = 16 * limits::REPORTED_PREFIXES;

/// One worker's lists on their way to the holder of the lease.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    number: u64,
    shown: Lists<EndpointId>,
    counts: BTreeMap<u64, u32>,
    /// The last report wrote the old lists again, so new entries may wait.
    more: bool,
}

/// The lists. `E`: how an endpoint is named.
#[derive(Debug, PartialEq)]
pub(crate) struct Lists<E> {
    /// Requests by placement key.
    pub(crate) prefixes: BTreeMap<u64, u32>,
    /// Moved conversations by key, and where they went.
    pub(crate) moved: BTreeMap<u64, E>,
    /// What endpoints have begun to keep, by key.
    pub(crate) held: BTreeMap<u64, E>,
    /// What was seen at endpoints. In reports it stands in the rows of the endpoints.
    pub(crate) seen: Vec<(E, Vec<Seen>)>,
}

impl<E> Default for Lists<E> {
    fn default() -> Self {
        Self {
            prefixes: BTreeMap::new(),
            moved: BTreeMap::new(),
            held: BTreeMap::new(),
            seen: Vec::new(),
        }
    }
}

impl<E> Lists<E> {
    fn is_empty(&self) -> bool {
        let no_places = self.moved.is_empty() && self.held.is_empty();
        self.prefixes.is_empty() && no_places && self.seen.is_empty()
    }

    /// Returns the counts for a report: at most as many as it may have, those with the most
    /// requests.
    pub(crate) fn prefixes(&self) -> Vec<PrefixCount> {
        most_asked(&self.prefixes)
    }

    /// Returns the moved conversations for a report.
    ///
    /// - `row`: an endpoint's index in the report; absent: the endpoint is not in it.
    pub(crate) fn moved(&self, row: impl Fn(&E) -> Option<usize>) -> Vec<Moved> {
        let moved = self.moved.iter();
        let mut rows = moved.filter_map(|(key, endpoint)| Some((*key, row(endpoint)?)));
        places(&mut rows, limits::MOVED)
    }

    /// Returns what endpoints keep for a report. `row`: as for [`Self::moved`].
    pub(crate) fn held(&self, row: impl Fn(&E) -> Option<usize>) -> Vec<Moved> {
        let held = self.held.iter();
        let mut rows = held.filter_map(|(key, endpoint)| Some((*key, row(endpoint)?)));
        places(&mut rows, limits::REPORTED_HELD)
    }
}

/// Returns the row of an address. `None`: no row has it.
///
/// - `totals`: sorted by address.
pub(crate) fn row_of(totals: &[EndpointReport], address: &str) -> Option<usize> {
    totals
        .binary_search_by(|totals| totals.address.as_str().cmp(address))
        .ok()
}

// These two are no generic functions: one copy of each is enough in the filter's module.

fn most_asked(prefixes: &BTreeMap<u64, u32>) -> Vec<PrefixCount> {
    let count = |(key, count): (&u64, &u32)| PrefixCount {
        key: *key,
        count: *count,
    };
    let mut all: Vec<PrefixCount> = prefixes.iter().map(count).collect();
    if all.len() > limits::REPORTED_PREFIXES {
        all.sort_unstable_by_key(|prefix| std::cmp::Reverse(prefix.count));
        all.truncate(limits::REPORTED_PREFIXES);
    }
    all
}

fn places(rows: &mut dyn Iterator<Item = (u64, usize)>, most: usize) -> Vec<Moved> {
    let mut places = Vec::new();
    // A loop, because the adapters of a dynamic iterator are larger.
    for (key, row) in rows {
        if let Ok(endpoint) = u16::try_from(row)
            && places.len() < most
        {
            places.push(Moved { key, endpoint });
        }
    }
    places
}

impl Outbox {
    /// A request with this shared beginning was decided.
    pub(crate) fn count(&mut self, key: u64) {
        let full = self.counts.len() >= limits::REPORTED_PREFIXES;
        match self.counts.get_mut(&key) {
            Some(count) => *count = count.saturating_add(1),
            None if full => {}
            None => _ = self.counts.insert(key, 1),
        }
    }

    /// Whether there are lists that the holder of the lease may not have taken.
    pub(crate) fn waits(&self) -> bool {
        !self.shown.is_empty()
    }

    /// Whether to write again although nothing has happened since.
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// Returns the number of the lists to write now, and the lists.
    ///
    /// - `taken`: the number of the lists that the holder of the lease took last.
    /// - `new`: gives what was not reported yet, without the counts.
    pub(crate) fn show(
        &mut self,
        taken: u64,
        new: impl FnOnce() -> Lists<EndpointId>,
    ) -> (u64, &Lists<EndpointId>) {
        self.more = self.waits() && taken < self.number;
        if !self.more {
            self.shown = Lists {
                prefixes: std::mem::take(&mut self.counts),
                ..new()
            };
            self.number = self.number.saturating_add(u64::from(self.waits()));
        }
        (self.number, &self.shown)
    }
}

impl Lists<String> {
    /// Adds one worker's lists, as its report has them.
    pub(crate) fn add(&mut self, report: &Report) {
        for prefix in &report.prefixes {
            let full = self.prefixes.len() >= MERGED_PREFIXES;
            match self.prefixes.get_mut(&prefix.key) {
                Some(count) => *count = count.saturating_add(prefix.count),
                None if full => {}
                None => _ = self.prefixes.insert(prefix.key, prefix.count),
            }
        }
        for (all, new, most) in [
            (&mut self.moved, &report.moved, limits::MOVED),
            (&mut self.held, &report.held, limits::REPORTED_HELD),
        ] {
            for place in new {
                let row = report.endpoints.get(usize::from(place.endpoint));
                if let Some(row) = row.filter(|_| all.len() < most) {
                    all.insert(place.key, row.address.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_loadtable::EndpointReport;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn told(outbox: &mut Outbox, taken: u64, moved: &[(u64, u64)]) -> (u64, u32, usize) {
        let moved = || {
            let moved = moved.iter();
            moved
                .map(|(key, endpoint)| (*key, EndpointId(*endpoint)))
                .collect()
        };
        let (number, lists) = outbox.show(taken, || Lists {
            moved: moved(),
            ..Lists::default()
        });
        let requests = lists.prefixes().iter().map(|prefix| prefix.count).sum();
        (number, requests, lists.moved.len())
    }

    #[test]
    fn lists_stay_until_they_are_taken_and_what_comes_in_between_is_in_the_next() {
        let mut outbox = Outbox::default();
        outbox.count(7);
        assert_eq!(told(&mut outbox, 0, &[(1, 1)]), (1, 1, 1));
        outbox.count(7);
        outbox.count(8);
        assert_eq!(told(&mut outbox, 0, &[(2, 1)]), (1, 1, 1), "not taken yet");
        assert!(outbox.has_more());
        assert_eq!(told(&mut outbox, 1, &[(2, 1), (3, 1)]), (2, 2, 2));
        assert!(outbox.waits());
        assert_eq!(told(&mut outbox, 2, &[]), (2, 0, 0));
        assert!(!outbox.waits() && !outbox.has_more(), "all is taken");
        outbox.count(9);
        assert_eq!(told(&mut outbox, 0, &[]), (3, 1, 0), "at once");
    }

    #[test]
    fn a_worker_counts_no_more_beginnings_than_a_report_may_have() {
        let mut outbox = Outbox::default();
        (0..1_000).for_each(|key| outbox.count(key));
        outbox.count(0);
        let (_, requests, _) = told(&mut outbox, 0, &[]);
        assert_eq!(requests as usize, limits::REPORTED_PREFIXES + 1);
    }

    #[test]
    fn the_leader_keeps_the_beginnings_with_the_most_requests_and_a_bounded_number() {
        let mut lists = Lists::default();
        for worker in 0..100 {
            let prefix = |key| PrefixCount {
                key: worker * 1_000 + key,
                count: 1 + u32::from(key == 3),
            };
            let prefixes: Vec<PrefixCount> = (0..50).map(prefix).collect();
            let moved: Vec<Moved> = (0..50)
                .map(|key| Moved {
                    key: worker * 1_000 + key,
                    endpoint: 0,
                })
                .collect();
            let endpoints = [EndpointReport {
                address: "10.0.0.1:80".into(),
                ..EndpointReport::default()
            }];
            lists.add(&Report {
                prefixes,
                held: moved.clone(),
                moved,
                endpoints: endpoints.to_vec(),
                ..Report::default()
            });
            let nowhere = Moved {
                key: 0,
                endpoint: 9,
            };
            lists.add(&Report {
                moved: vec![nowhere],
                held: vec![nowhere],
                ..Report::default()
            });
        }
        assert!(lists.prefixes.len() <= MERGED_PREFIXES);
        let told = lists.prefixes();
        assert_eq!(told.len(), limits::REPORTED_PREFIXES);
        assert!(told.iter().filter(|prefix| prefix.count == 2).count() >= 20);
        assert_eq!(lists.moved(|_| Some(0)).len(), limits::MOVED);
        assert_eq!(lists.moved(|_| None), []);
        assert_eq!(lists.held(|_| Some(0)).len(), limits::REPORTED_HELD);
    }
}
