//! Merges the reports of a proxy's workers into one.

use std::collections::BTreeMap;

use trimtab_loadtable::{EndpointReport, Report, limits, seen};

use crate::outbox::Lists;

/// A worker's newest report.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The worker's number. No other worker of the proxy has it.
    pub worker: u64,
    /// Number of the report's lists, as [`Books::write`](crate::Books::write) returned it.
    pub lists: u64,
    /// The report.
    pub report: Report,
}

impl Written {
    /// Drops what was seen, because it was taken before.
    fn forget_seen(&mut self) {
        let rows = &mut self.report.endpoints;
        rows.iter_mut().for_each(|row| row.seen.clear());
    }
}

/// The newest reports of all workers of a proxy, on their way into one.
#[derive(Debug)]
pub struct Merge {
    written: Vec<Written>,
    lists: Lists<String>,
}

/// Returns the number that stands beside this worker in pairs of a worker and a number. `None`: the
/// worker is not among them.
#[must_use]
pub fn of_worker(pairs: &[(u64, u64)], worker: u64) -> Option<u64> {
    let own = pairs.iter().find(|(other, _)| *other == worker);
    own.map(|(_, number)| *number)
}

impl Merge {
    /// Begins with the newest report of each worker, without lists.
    #[must_use]
    pub fn new(written: Vec<Written>) -> Self {
        Self {
            written,
            lists: Lists::default(),
        }
    }

    /// Adds the lists that were not taken before. Without this call the merged report has none.
    ///
    /// Returns, by worker, the number of the lists that were taken last. The caller keeps the
    /// numbers for the next call and for [`Books::write`](crate::Books::write). It does so before
    /// the report goes out, so a report that is lost loses its lists on purpose: a duplicate would
    /// count twice, and a lost sample only thins a statistic. What endpoints hold is no statistic;
    /// see [`Outgoing`](crate::Outgoing).
    ///
    /// - `before`: what the last call for this proxy returned, by whichever worker.
    pub fn take_lists(&mut self, before: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut numbers = Vec::with_capacity(self.written.len());
        for own in &mut self.written {
            let last = of_worker(before, own.worker).unwrap_or(0);
            // Another worker had the lease until now. It may have taken newer lists than were read
            // here.
            numbers.push((own.worker, own.lists.max(last)));
            if own.lists > last {
                self.lists.add(&own.report);
            } else {
                own.forget_seen();
            }
        }
        numbers
    }

    /// Drops the lists that were taken, because another worker, whose lease has just run out, took
    /// them.
    pub fn drop_lists(&mut self) {
        self.written.iter_mut().for_each(Written::forget_seen);
        self.lists = Lists::default();
    }

    /// Returns the number of each worker's report.
    pub(crate) fn included(&self) -> Vec<(u64, u64)> {
        let included = self.written.iter();
        included
            .map(|own| (own.worker, own.report.sequence))
            .collect()
    }

    /// Returns what endpoints hold, by the lists that were taken.
    pub(crate) fn held(&mut self) -> &mut BTreeMap<u64, String> {
        &mut self.lists.held
    }

    /// Returns `report` with the totals and lists of all workers.
    pub(crate) fn finish(self, report: Report) -> Report {
        let Self { written, lists } = self;
        let reports = || written.iter().map(|own| &own.report);
        let workers = reports().map(|report| report.workers).sum::<u32>().max(1);
        let decided = reports().fold(0_u64, |sum, report| sum.saturating_add(report.decided));
        let endpoints = sum(written.into_iter().flat_map(|own| own.report.endpoints));
        // Not `outbox::row_of`: with calls from here too, the filter's module has 330 bytes more.
        let row = |address: &String| {
            endpoints
                .binary_search_by(|row| row.address.cmp(address))
                .ok()
        };
        Report {
            workers,
            decided,
            prefixes: lists.prefixes(),
            moved: lists.moved(row),
            held: lists.held(row),
            endpoints,
            ..report
        }
    }
}

/// Adds up the totals of several workers. The result is sorted by address, and has at most as many
/// endpoints as a report may have.
fn sum(reports: impl IntoIterator<Item = EndpointReport>) -> Vec<EndpointReport> {
    let mut sums: BTreeMap<String, EndpointReport> = BTreeMap::new();
    // For what was seen.
    let mut room = limits::SEEN;
    for report in reports {
        let full = sums.len() >= limits::ENDPOINTS;
        let sum = match sums.get_mut(&report.address) {
            Some(sum) => sum,
            None if full => continue,
            None => sums
                .entry(report.address.clone())
                .or_insert_with(|| EndpointReport {
                    address: report.address,
                    ..Default::default()
                }),
        };
        sum.in_flight = sum
            .in_flight
            .saturating_add(report.in_flight)
            .min(limits::REPORTED_IN_FLIGHT);
        sum.pending = sum
            .pending
            .saturating_add(report.pending)
            .min(limits::REPORTED_IN_FLIGHT);
        sum.pending_tokens = sum
            .pending_tokens
            .saturating_add(report.pending_tokens)
            .min(limits::REPORTED_TOKENS);
        sum.sent = sum.sent.saturating_add(report.sent);
        sum.sent_tokens = sum.sent_tokens.saturating_add(report.sent_tokens);
        sum.started = sum.started.saturating_add(report.started);
        sum.finished = sum.finished.saturating_add(report.finished);
        sum.failed = sum.failed.saturating_add(report.failed);
        for one in &report.seen {
            let known = sum.seen.iter().any(|known| known.kind == one.kind);
            if known || room > 0 {
                room -= usize::from(!known);
                seen::add(&mut sum.seen, one.kind, one.count);
            }
        }
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests;
