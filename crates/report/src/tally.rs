//! What this worker has sent where: its part of the proxy's report.
//!
//! Bounded: an endpoint that left the table stays only while requests are in flight there.

use std::collections::BTreeMap;
use std::rc::Rc;

use trimtab_loadtable::{EndpointReport, ErrorKind, Seen, What, limits, seen};
use trimtab_pick::{EndpointId, Ticket};

use crate::sent::{Counted, Sent};

#[derive(Debug)]
struct Line {
    address: Rc<str>,
    counts: EndpointReport,
    /// What was seen since it was last taken.
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

impl Tally {
    /// A request was decided, whether or not there was an opinion.
    pub(crate) fn on_decided(&mut self) {
        self.decided = self.decided.saturating_add(1);
        self.changed = true;
    }

    /// A request is sent to an endpoint of the table. Returns how it is counted: not at all if
    /// there is no room for another endpoint.
    pub(crate) fn on_sent(
        &mut self,
        ticket: &Ticket,
        address: &Rc<str>,
        counted: Counted,
    ) -> Counted {
        let endpoint = ticket.endpoint();
        let is_full = self.lines.len() >= limits::ENDPOINTS && !self.lines.contains_key(&endpoint);
        if counted == Counted::No || is_full {
            return Counted::No;
        }
        let line = self.lines.entry(endpoint).or_insert_with(|| Line {
            address: Rc::clone(address),
            counts: EndpointReport::default(),
            seen: Vec::new(),
        });
        let (counts, tokens) = (&mut line.counts, ticket.uncached_tokens());
        counts.sent = counts.sent.saturating_add(1);
        counts.sent_tokens = counts.sent_tokens.saturating_add(tokens);
        let is_whole = counted == Counted::Whole;
        counts.in_flight = counts.in_flight.saturating_add(is_whole.into());
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        counts.pending = counts.pending.saturating_add(1);
        counts.pending_tokens = counts.pending_tokens.saturating_add(tokens);
        self.changed = true;
        counted
    }

    /// All of the request's body has gone out.
    pub(crate) fn on_whole(&mut self, sent: &mut Sent) {
        if sent.counted == Counted::Coming {
            sent.counted = Counted::Whole;
            if let Some(counts) = self.counts(sent) {
                counts.in_flight = counts.in_flight.saturating_add(1);
            }
        }
    }

    /// The prompt of a request has `tokens` more uncached tokens than its ticket says.
    pub(crate) fn on_grown(&mut self, sent: &Sent, tokens: u32) {
        if let Some(counts) = self.counts(sent) {
            counts.sent_tokens = counts.sent_tokens.saturating_add(tokens.into());
            counts.pending_tokens = counts.pending_tokens.saturating_add(tokens);
        }
    }

    /// The content of the answer has begun. The ticket does not know it yet, or it was counted
    /// before.
    pub(crate) fn on_first_byte(&mut self, sent: &Sent) {
        let counts = self.counts(sent).filter(|_| sent.ticket.is_pending());
        if let Some(counts) = counts {
            counts.pending = counts.pending.saturating_sub(1);
            counts.pending_tokens = counts.pending_tokens.saturating_sub(sent.pending_tokens());
            counts.started = counts.started.saturating_add(1);
        }
    }

    /// The request ends.
    ///
    /// - `failed`: by a reset, a timeout, a connect failure or a 5xx.
    pub(crate) fn on_done(&mut self, sent: &Sent, failed: bool) {
        if let Some(counts) = self.counts(sent) {
            let is_whole = sent.counted == Counted::Whole;
            counts.in_flight = counts.in_flight.saturating_sub(is_whole.into());
            let is_pending = sent.ticket.is_pending();
            counts.pending = counts.pending.saturating_sub(is_pending.into());
            counts.pending_tokens = counts.pending_tokens.saturating_sub(sent.pending_tokens());
            counts.finished = counts.finished.saturating_add(1);
            counts.failed = counts.failed.saturating_add(u64::from(failed));
        }
    }

    /// Returns the counts to change for a request. `None`: it is not counted.
    fn counts(&mut self, sent: &Sent) -> Option<&mut EndpointReport> {
        let line = self.lines.get_mut(&sent.counts_at()?)?;
        self.changed = true;
        Some(&mut line.counts)
    }

    /// The content of the answer began `ms` milliseconds after the placement.
    ///
    /// - `predicted_ms`: the prediction at the placement; absent: there was none, or another
    ///   endpoint answered.
    pub(crate) fn saw_first_byte(&mut self, sent: &Sent, ms: u32, predicted_ms: Option<u32>) {
        self.saw(sent, What::FirstByte(seen::bucket(ms)), 1);
        self.saw(sent, What::FirstByteSum, ms);
        let Some(predicted_ms) = predicted_ms else {
            return;
        };
        let missed_ms = predicted_ms.abs_diff(ms);
        for (what, count) in [
            (What::PredictedSum, predicted_ms),
            (What::PredictedSeenSum, ms),
            (What::PredictionErrorSum, missed_ms),
            (What::PredictionError(seen::bucket(missed_ms)), 1),
        ] {
            self.saw(sent, what, count);
        }
    }

    /// A whole answer ended `ms` milliseconds after the placement.
    pub(crate) fn saw_end(&mut self, sent: &Sent, ms: u32) {
        self.saw(sent, What::End(seen::bucket(ms)), 1);
        self.saw(sent, What::EndSum, ms);
    }

    /// The request went wrong.
    pub(crate) fn saw_error(&mut self, sent: &Sent, kind: ErrorKind) {
        self.saw(sent, What::Error(kind), 1);
    }

    fn saw(&mut self, sent: &Sent, what: What, count: u32) {
        let line = sent.counts_at().and_then(|id| self.lines.get_mut(&id));
        if let Some(line) = line {
            seen::add(&mut line.seen, what.kind(), count);
        }
    }

    /// Returns what was seen since the last time, of as many endpoints as a report has room for.
    /// The rest comes next time.
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

    /// A table came. Forgets endpoints that it does not have, unless requests are in flight there,
    /// or their bodies are still coming.
    pub(crate) fn retain(&mut self, knows: impl Fn(EndpointId) -> bool) {
        let busy = |counts: &EndpointReport| counts.in_flight > 0 || counts.pending > 0;
        self.lines
            .retain(|id, line| busy(&line.counts) || knows(*id));
    }

    /// Whether anything changed since the last report.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Returns the totals for a report.
    pub(crate) fn take(&mut self) -> Vec<EndpointReport> {
        self.changed = false;
        self.report()
    }

    /// Returns the address of an endpoint of the totals.
    pub(crate) fn address(&self, endpoint: EndpointId) -> Option<&str> {
        Some(&self.lines.get(&endpoint)?.address)
    }

    /// Returns the totals, sorted by address.
    pub(crate) fn report(&self) -> Vec<EndpointReport> {
        let mut all: Vec<EndpointReport> = self
            .lines
            .values()
            .map(|line| EndpointReport {
                address: line.address.as_ref().to_owned(),
                ..line.counts.clone()
            })
            .collect();
        all.sort_unstable_by(|a, b| a.address.cmp(&b.address));
        all
    }
}
