//! What this worker has sent where: its part of the proxy's report.
//!
//! Bounded: an endpoint that left the table stays only while requests on it are in flight.

use std::collections::BTreeMap;
use std::rc::Rc;

use trimtab_loadtable::{EndpointReport, ErrorKind, Seen, limits, seen};
use trimtab_pick::EndpointId;

#[derive(Debug)]
struct Line {
    address: Rc<str>,
    counts: EndpointReport,
    /// What was seen since it was taken last.
    seen: Vec<Seen>,
}

/// Totals since the worker's start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    lines: BTreeMap<EndpointId, Line>,
    /// Requests decided.
    pub(crate) decided: u64,
    /// Whether anything changed since the last report.
    changed: bool,
}

/// One request's share in the totals; handed back when it ends.
#[derive(Debug)]
#[must_use = "an entry that is dropped leaves its request in flight for ever"]
pub(crate) struct Entry {
    endpoint: EndpointId,
    address: Rc<str>,
    /// Tokens that are pending until the first byte.
    pending_tokens: u32,
    started: bool,
}

impl Entry {
    /// Where the request went.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Tally {
    /// A request was decided, whether or not there was an opinion.
    pub(crate) fn on_decided(&mut self) {
        self.decided = self.decided.saturating_add(1);
        self.changed = true;
    }

    /// A request was sent to an endpoint of the table. `tokens`: uncached ones of its prompt, as expected. `None`: no more endpoints can
    /// be kept; the request is then not reported.
    pub(crate) fn on_sent(
        &mut self,
        endpoint: EndpointId,
        address: &str,
        tokens: u64,
    ) -> Option<Entry> {
        if !self.lines.contains_key(&endpoint) && self.lines.len() >= limits::ENDPOINTS {
            return None;
        }
        let line = self.lines.entry(endpoint).or_insert_with(|| Line {
            address: address.into(),
            counts: EndpointReport::default(),
            seen: Vec::new(),
        });
        let counts = &mut line.counts;
        counts.sent = counts.sent.saturating_add(1);
        counts.sent_tokens = counts.sent_tokens.saturating_add(tokens);
        counts.in_flight = counts.in_flight.saturating_add(1);
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        counts.pending = counts.pending.saturating_add(1);
        counts.pending_tokens = counts.pending_tokens.saturating_add(tokens);
        self.changed = true;
        Some(Entry {
            endpoint,
            address: Rc::clone(&line.address),
            pending_tokens: tokens,
            started: false,
        })
    }

    /// The prompt of a request that was sent has so many more uncached tokens.
    pub(crate) fn on_grown(&mut self, entry: &mut Entry, tokens: u32) {
        if let Some(line) = self.lines.get_mut(&entry.endpoint) {
            let counts = &mut line.counts;
            counts.sent_tokens = counts.sent_tokens.saturating_add(tokens.into());
            counts.pending_tokens = counts.pending_tokens.saturating_add(tokens);
            entry.pending_tokens = entry.pending_tokens.saturating_add(tokens);
        }
        self.changed = true;
    }

    /// The first byte of the answer came.
    pub(crate) fn on_first_byte(&mut self, entry: &mut Entry) {
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

    /// The request ended. `failed`: by a reset, a timeout, a connect failure or a 5xx.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "by value, so that it can end only once"
    )]
    pub(crate) fn on_done(&mut self, entry: Entry, failed: bool) {
        let Entry {
            endpoint,
            pending_tokens,
            started,
            ..
        } = entry;
        if let Some(line) = self.lines.get_mut(&endpoint) {
            let counts = &mut line.counts;
            counts.in_flight = counts.in_flight.saturating_sub(1);
            counts.pending = counts.pending.saturating_sub(u32::from(!started));
            counts.pending_tokens = counts.pending_tokens.saturating_sub(pending_tokens);
            counts.finished = counts.finished.saturating_add(1);
            counts.failed = counts.failed.saturating_add(u64::from(failed));
        }
        self.changed = true;
    }

    /// The first byte came so long after the placement. `predicted_ms`: what the placement thought; absent: nothing, or another endpoint
    /// answered. `entry`, here and below: absent where no books are kept.
    pub(crate) fn saw_first_byte(
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

    /// A whole answer ended so long after the placement.
    pub(crate) fn saw_end(&mut self, entry: Option<&Entry>, ms: u32) {
        self.saw(entry, seen::END + seen::bucket(ms), 1);
        self.saw(entry, seen::END_SUM_MS, ms);
    }

    /// The request went wrong.
    pub(crate) fn saw_error(&mut self, entry: Option<&Entry>, kind: ErrorKind) {
        self.saw(entry, kind as u8, 1);
    }

    fn saw(&mut self, entry: Option<&Entry>, kind: u8, count: u32) {
        if let Some(line) = entry.and_then(|entry| self.lines.get_mut(&entry.endpoint)) {
            seen::add(&mut line.seen, kind, count);
        }
    }

    /// Hands over what was seen since the last time, of as many endpoints as a report has room for; of more, the rest comes next.
    pub(crate) fn take_seen(&mut self) -> Vec<(EndpointId, Vec<Seen>)> {
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

    /// A table came. Endpoints that it does not have are forgotten once nothing is in flight on them.
    pub(crate) fn retain(&mut self, knows: impl Fn(EndpointId) -> bool) {
        self.lines
            .retain(|id, line| line.counts.in_flight > 0 || knows(*id));
    }

    /// Whether anything changed since the last report.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The totals for a report.
    pub(crate) fn take(&mut self) -> Vec<EndpointReport> {
        self.changed = false;
        self.report()
    }

    /// The address of an endpoint that the totals have.
    pub(crate) fn address(&self, endpoint: EndpointId) -> Option<&str> {
        Some(&self.lines.get(&endpoint)?.address)
    }

    /// The totals, sorted by address.
    pub(crate) fn report(&self) -> Vec<EndpointReport> {
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

/// Adds up the totals of several workers; sorted by address, at most as many endpoints as a report may have.
pub(crate) fn merge(reports: impl IntoIterator<Item = EndpointReport>) -> Vec<EndpointReport> {
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Event {
        Send(u64),
        FirstByte(usize),
        Done(usize, bool),
        Table(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..6_u64).prop_map(Event::Send),
            any::<usize>().prop_map(Event::FirstByte),
            (any::<usize>(), any::<bool>()).prop_map(|(i, failed)| Event::Done(i, failed)),
            (0..64_u64).prop_map(Event::Table),
        ]
    }

    proptest! {
        #[test]
        fn in_flight_is_what_was_sent_and_not_ended_under_any_order_of_events(events in prop::collection::vec(event(), 0..200)) {
            let mut tally = Tally::default();
            let mut live: Vec<Entry> = Vec::new();
            for event in events {
                match event {
                    Event::Send(id) => live.push(tally.on_sent(EndpointId(id), &format!("10.0.0.{id}:80"), 10).unwrap()),
                    Event::FirstByte(at) if !live.is_empty() => {
                        let at = at % live.len();
                        tally.on_first_byte(&mut live[at]);
                    }
                    Event::Done(at, failed) if !live.is_empty() => tally.on_done(live.swap_remove(at % live.len()), failed),
                    Event::Table(set) => tally.retain(|id| set >> id.0 & 1 == 1),
                    _ => {}
                }
                for id in 0..6 {
                    let on = live.iter().filter(|entry| entry.endpoint == EndpointId(id));
                    let pending = on.clone().filter(|entry| !entry.started).count();
                    let line = tally.lines.get(&EndpointId(id)).map(|line| &line.counts);
                    prop_assert_eq!(line.map_or(0, |c| c.in_flight as usize), on.count());
                    prop_assert_eq!(line.map_or((0, 0), |c| (c.pending as usize, c.pending_tokens as usize)), (pending, 10 * pending));
                    prop_assert!(line.is_none_or(|c| c.sent_tokens == 10 * c.sent && c.started <= c.sent && c.finished <= c.sent && c.failed <= c.finished));
                }
            }
            for entry in live {
                tally.on_done(entry, false);
            }
            tally.retain(|_| false);
            prop_assert!(tally.lines.is_empty());
        }
    }

    #[test]
    fn merging_adds_up_by_address() {
        let line = |address: &str, n: u64| EndpointReport {
            address: address.into(),
            in_flight: 1,
            pending: 1,
            sent: n,
            sent_tokens: 100 * n,
            finished: n - 1,
            ..Default::default()
        };
        let merged = merge([line("b:1", 2), line("a:1", 1), line("b:1", 5)]);
        let flat: Vec<_> = merged
            .iter()
            .map(|r| {
                (
                    r.address.as_str(),
                    r.in_flight + r.pending,
                    r.sent,
                    r.sent_tokens,
                    r.finished,
                )
            })
            .collect();
        assert_eq!(flat, [("a:1", 2, 1, 100, 0), ("b:1", 4, 7, 700, 5)]);
    }

    #[test]
    fn what_was_seen_is_handed_over_once_and_added_up_within_the_limit_of_a_report() {
        let mut tally = Tally::default();
        let entry = tally.on_sent(EndpointId(1), "a:1", 10).unwrap();
        tally.saw_first_byte(Some(&entry), 100, Some(170));
        tally.saw_first_byte(Some(&entry), 120, None);
        tally.saw_end(Some(&entry), 5_000);
        tally.saw_error(Some(&entry), ErrorKind::Reset);
        let flat =
            |seen: &[Seen]| -> Vec<_> { seen.iter().map(|one| (one.kind, one.count)).collect() };
        let taken = tally.take_seen();
        assert_eq!(taken.len(), 1);
        let sums = [(64, 220), (65, 5_000), (67, 1), (71, 170), (72, 100)];
        let predicted = [(73, 70), (96 + 9, 1)];
        let expected = [&[(10, 2), (32 + 21, 1)][..], &sums, &predicted].concat();
        assert_eq!(flat(&taken[0].1), expected);
        assert!(tally.take_seen().is_empty());
        tally.on_done(entry, false);

        let row = |address: usize, seen: Vec<Seen>| EndpointReport {
            address: format!("{address:05}"),
            seen,
            ..Default::default()
        };
        let both = merge([row(1, taken[0].1.clone()), row(1, taken[0].1.clone())]);
        assert_eq!(
            flat(&both[0].seen),
            Vec::from_iter(expected.iter().map(|(kind, count)| (*kind, 2 * count)))
        );
        let many: Vec<Seen> = (0..100).map(|kind| Seen { kind, count: 1 }).collect();
        let full = merge((0..200).map(|address| row(address, many.clone())));
        assert_eq!(
            full.iter().map(|row| row.seen.len()).sum::<usize>(),
            limits::SEEN
        );
    }

    #[test]
    fn changes_are_reported_once() {
        let mut tally = Tally::default();
        assert!(!tally.is_changed());
        tally.on_decided();
        assert!(tally.is_changed());
        tally.take();
        assert!(!tally.is_changed());
    }
}
