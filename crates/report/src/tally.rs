//! What this worker has sent where: its part of the proxy's report.
//!
//! Bounded: an endpoint that left the table stays only while requests are in flight there.

use std::collections::BTreeMap;
use std::rc::Rc;

use trimtab_loadtable::{EndpointReport, ErrorKind, Seen, limits, seen};
use trimtab_pick::EndpointId;

#[derive(Debug)]
struct Line {
    address: Rc<str>,
    counts: EndpointReport,
    /// What was seen since it was last taken.
    seen: Vec<Seen>,
}

/// Totals since the worker's start.
#[derive(Debug, Default)]
pub struct Tally {
    lines: BTreeMap<EndpointId, Line>,
    /// Requests decided.
    pub decided: u64,
    /// Whether anything changed since the last report.
    changed: bool,
}

/// One request's share in the totals. It is handed back when the request ends.
#[derive(Debug)]
#[must_use = "an entry that is dropped leaves its request in flight for ever"]
pub struct Entry {
    endpoint: EndpointId,
    /// Tokens that are pending until the first byte.
    pending_tokens: u32,
    started: bool,
    /// All of the request's body has gone out, so its server has something to do.
    is_whole: bool,
}

impl Entry {
    /// Whether all of the request's body has gone out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl Tally {
    /// A request was decided, whether or not there was an opinion.
    pub fn on_decided(&mut self) {
        self.decided = self.decided.saturating_add(1);
        self.changed = true;
    }

    /// A request was sent to an endpoint of the table. Returns `None` if there is no room for
    /// another endpoint; then reports do not count the request.
    ///
    /// - `tokens`: uncached tokens of its prompt, as expected.
    /// - `is_whole`: all of its body has gone out; else some is still coming.
    pub fn on_sent(
        &mut self,
        endpoint: EndpointId,
        address: &Rc<str>,
        tokens: u64,
        is_whole: bool,
    ) -> Option<Entry> {
        if !self.lines.contains_key(&endpoint) && self.lines.len() >= limits::ENDPOINTS {
            return None;
        }
        let line = self.lines.entry(endpoint).or_insert_with(|| Line {
            address: Rc::clone(address),
            counts: EndpointReport::default(),
            seen: Vec::new(),
        });
        let counts = &mut line.counts;
        counts.sent = counts.sent.saturating_add(1);
        counts.sent_tokens = counts.sent_tokens.saturating_add(tokens);
        counts.in_flight = counts.in_flight.saturating_add(is_whole.into());
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        counts.pending = counts.pending.saturating_add(1);
        counts.pending_tokens = counts.pending_tokens.saturating_add(tokens);
        self.changed = true;
        Some(Entry {
            endpoint,
            pending_tokens: tokens,
            started: false,
            is_whole,
        })
    }

    /// All of the request's body has gone out.
    pub fn on_whole(&mut self, entry: &mut Entry) {
        let was_whole = std::mem::replace(&mut entry.is_whole, true);
        if let Some(line) = self.lines.get_mut(&entry.endpoint).filter(|_| !was_whole) {
            line.counts.in_flight = line.counts.in_flight.saturating_add(1);
            self.changed = true;
        }
    }

    /// The prompt of a request has `tokens` more uncached tokens than was counted.
    pub fn on_grown(&mut self, entry: &mut Entry, tokens: u32) {
        if let Some(line) = self.lines.get_mut(&entry.endpoint) {
            let counts = &mut line.counts;
            counts.sent_tokens = counts.sent_tokens.saturating_add(tokens.into());
            counts.pending_tokens = counts.pending_tokens.saturating_add(tokens);
            entry.pending_tokens = entry.pending_tokens.saturating_add(tokens);
        }
        self.changed = true;
    }

    /// The content of the answer has begun.
    pub fn on_first_byte(&mut self, entry: &mut Entry) {
        let pending_tokens = std::mem::take(&mut entry.pending_tokens);
        let first = !std::mem::replace(&mut entry.started, true);
        if let Some(line) = self.lines.get_mut(&entry.endpoint).filter(|_| first) {
            let counts = &mut line.counts;
            counts.pending = counts.pending.saturating_sub(1);
            counts.pending_tokens = counts.pending_tokens.saturating_sub(pending_tokens);
            counts.started = counts.started.saturating_add(1);
        }
        self.changed = true;
    }

    /// The request ended.
    ///
    /// - `failed`: by a reset, a timeout, a connect failure or a 5xx.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "by value, so that it can end only once"
    )]
    pub fn on_done(&mut self, entry: Entry, failed: bool) {
        let Entry {
            endpoint,
            pending_tokens,
            started,
            is_whole,
            ..
        } = entry;
        if let Some(line) = self.lines.get_mut(&endpoint) {
            let counts = &mut line.counts;
            counts.in_flight = counts.in_flight.saturating_sub(is_whole.into());
            counts.pending = counts.pending.saturating_sub(u32::from(!started));
            counts.pending_tokens = counts.pending_tokens.saturating_sub(pending_tokens);
            counts.finished = counts.finished.saturating_add(1);
            counts.failed = counts.failed.saturating_add(u64::from(failed));
        }
        self.changed = true;
    }

    /// The content of the answer began `ms` milliseconds after the placement.
    ///
    /// - `entry`, here and below: absent where no books are kept.
    /// - `predicted_ms`: the prediction at the placement; absent: there was none, or another
    ///   endpoint answered.
    pub fn saw_first_byte(
        &mut self,
        entry: Option<&Entry>,
        ms: u32,
        predicted_ms: Option<u32>,
    ) {
        self.saw(entry, seen::FIRST_BYTE + seen::bucket(ms), 1);
        self.saw(entry, seen::FIRST_BYTE_SUM_MS, ms);
        let Some(predicted_ms) = predicted_ms else {
            return;
        };
        let missed_ms = predicted_ms.abs_diff(ms);
        for (kind, count) in [
            (seen::PREDICTED_SUM_MS, predicted_ms),
            (seen::PREDICTED_SEEN_SUM_MS, ms),
            (seen::PREDICTION_ERROR_SUM_MS, missed_ms),
            (seen::PREDICTION_ERROR + seen::bucket(missed_ms), 1),
        ] {
            self.saw(entry, kind, count);
        }
    }

    /// A whole answer ended `ms` milliseconds after the placement.
    pub fn saw_end(&mut self, entry: Option<&Entry>, ms: u32) {
        self.saw(entry, seen::END + seen::bucket(ms), 1);
        self.saw(entry, seen::END_SUM_MS, ms);
    }

    /// The request went wrong.
    pub fn saw_error(&mut self, entry: Option<&Entry>, kind: ErrorKind) {
        self.saw(entry, kind as u8, 1);
    }

    fn saw(&mut self, entry: Option<&Entry>, kind: u8, count: u32) {
        if let Some(line) = entry.and_then(|entry| self.lines.get_mut(&entry.endpoint)) {
            seen::add(&mut line.seen, kind, count);
        }
    }

    /// Returns what was seen since the last time, of as many endpoints as a report has room for.
    /// The rest comes next time.
    pub fn take_seen(&mut self) -> Vec<(EndpointId, Vec<Seen>)> {
        let mut room = limits::SEEN;
        let mut taken = Vec::new();
        for (id, line) in &mut self.lines {
            let len = line.seen.len();
            if len > 0 && len <= room {
                room -= len;
                taken.push((*id, std::mem::take(&mut line.seen)));
            }
        }
        taken
    }

    /// A table came. Forgets endpoints that it does not have, unless requests are in flight there,
    /// or their bodies are still coming.
    pub fn retain(&mut self, knows: impl Fn(EndpointId) -> bool) {
        let busy = |counts: &EndpointReport| counts.in_flight > 0 || counts.pending > 0;
        self.lines
            .retain(|id, line| busy(&line.counts) || knows(*id));
    }

    /// Whether anything changed since the last report.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Returns the totals for a report.
    pub fn take(&mut self) -> Vec<EndpointReport> {
        self.changed = false;
        self.report()
    }

    /// Returns the address of an endpoint of the totals.
    #[must_use]
    pub fn address(&self, endpoint: EndpointId) -> Option<&str> {
        Some(&self.lines.get(&endpoint)?.address)
    }

    /// Returns the totals, sorted by address.
    #[must_use]
    pub fn report(&self) -> Vec<EndpointReport> {
        let mut all: Vec<EndpointReport> = self
            .lines
            .values()
            .map(|line| EndpointReport {
                address: line.address.as_ref().to_owned(),
                ..line.counts.clone()
            })
            .collect();
        all.sort_by(|a, b| a.address.cmp(&b.address));
        all
    }
}

/// Adds up the totals of several workers. The result is sorted by address, and has at most as many
/// endpoints as a report may have.
#[must_use]
pub fn merge(reports: impl IntoIterator<Item = EndpointReport>) -> Vec<EndpointReport> {
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
