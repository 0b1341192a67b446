//! This picker's own work: what it has in flight, and what the newest table cannot have seen yet.

mod own;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use own::{Count, Own, Send};

use crate::own::pending::Pending;
use crate::{EndpointId, Millis, Snapshot, Ticket};

/// Sends that are remembered for the next table. At 10,000 requests per second of one picker they
/// cover 0.4 s, about the age at which such a table arrives. Older sends count as seen.
const SENDS_KEPT: usize = 4_096;

/// How much a picker has sent: a mark between two of its requests. A report that was written at
/// that moment contains what was sent before the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sends(pub(crate) u64);

/// What a request brings to its endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) pending: Pending,
    /// What it adds to the wait of those behind it, prefill and decode together, in microseconds.
    pub(crate) work_us: u64,
    /// Tokens of its prompt, cached or not.
    pub(crate) prompt_tokens: u32,
    pub(crate) is_large: bool,
    /// See [`Ticket::predicted_s`].
    pub(crate) predicted_s: Option<f32>,
}

/// This picker's requests on one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnWork {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Requests that were sent and have not ended.
    pub in_flight: u32,
    /// Estimated uncached prompt tokens of the requests without a first byte.
    pub pending_tokens: u64,
    /// Estimated prefill of those of them whose answers are streamed, in microseconds.
    pub pending_prefill_us: u64,
}

/// Own work per endpoint. For endpoints of the newest table it is found by index. Endpoints that
/// left the table with requests still running are kept apart.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    own: Vec<Own>,
    elsewhere: BTreeMap<EndpointId, Count>,
    sends: VecDeque<Send>,
    /// Sum of `in_flight` over `own`.
    total: u64,
    /// Sum over `own` of unseen work and of pending prefill, in microseconds.
    ahead_us: u64,
    sent: u64,
}

impl Ledger {
    /// Moves everything over to a new table.
    ///
    /// - `old`: the table that indices meant so far.
    /// - `reported`: the sends in the newest own report that the table has taken in. Absent: the
    ///   age of the rows says what they have seen.
    pub(crate) fn on_table(
        &mut self,
        old: Option<&Snapshot>,
        new: &Snapshot,
        reported: Option<Sends>,
    ) {
        let old_ids = old
            .map_or(&[][..], Snapshot::endpoints)
            .iter()
            .map(|endpoint| endpoint.id);
        for (id, own) in old_ids.zip(&self.own) {
            if own.count.in_flight > 0 {
                self.elsewhere.insert(id, own.count);
            }
        }
        self.own.clear();
        self.own.resize(new.endpoints().len(), Own::default());
        (self.total, self.ahead_us) = (0, 0);
        let (own, total, ahead_us) = (&mut self.own, &mut self.total, &mut self.ahead_us);
        self.elsewhere.retain(|id, count| {
            let Some(slot) = slot(own, new, *id) else {
                return true;
            };
            slot.count = *count;
            *total += u64::from(count.in_flight);
            *ahead_us = ahead_us.saturating_add(count.pending.prefill_us);
            false
        });
        match reported {
            Some(Sends(reported)) => {
                while self
                    .sends
                    .front()
                    .is_some_and(|send| send.number < reported)
                {
                    self.sends.pop_front();
                }
                self.recount_unseen(new, true);
            }
            None => {
                self.forget_seen(new);
                self.recount_unseen(new, false);
            }
        }
    }

    /// Drops the sends that every row has seen.
    fn forget_seen(&mut self, new: &Snapshot) {
        let taken = new
            .endpoints()
            .iter()
            .map(|endpoint| taken_at(new, endpoint.age_ms));
        let oldest = taken.min().unwrap_or_default();
        while self.sends.front().is_some_and(|send| send.at < oldest) {
            self.sends.pop_front();
        }
    }

    /// Adds up what the rows have not seen.
    ///
    /// - `reported`: the table has taken in an own report, so no row has seen any of the remaining
    ///   sends. Otherwise a row has seen what was sent before the row was taken.
    fn recount_unseen(&mut self, new: &Snapshot, reported: bool) {
        for send in &self.sends {
            let Some(index) = new.index_of(send.endpoint) else {
                continue;
            };
            let unseen = reported
                || new
                    .endpoint(index)
                    .is_some_and(|endpoint| send.at >= taken_at(new, endpoint.age_ms));
            if let Some(own) = self.own.get_mut(index as usize).filter(|_| unseen) {
                own.add_unseen(send);
                self.ahead_us = self.ahead_us.saturating_add(send.work_us);
            }
        }
    }

    /// Records that a request went to `endpoint`.
    pub(crate) fn on_sent(
        &mut self,
        snapshot: Option<&Snapshot>,
        now: Millis,
        endpoint: EndpointId,
        sent: Sent,
    ) -> Ticket {
        let Sent {
            pending,
            is_large,
            predicted_s,
            ..
        } = sent;
        let send = self.remember(now, endpoint, &sent, false);
        let count = self.bring(snapshot, &send, pending);
        count.in_flight = count.in_flight.saturating_add(1);
        if snapshot.is_some_and(|snapshot| snapshot.index_of(endpoint).is_some()) {
            self.total += 1;
        }
        Ticket {
            endpoint,
            pending,
            started: false,
            is_large,
            predicted_s,
            probe: false,
            tries_out: false,
            client: 0,
            doubts_refusal: false,
        }
    }

    /// Records that the prompt of the ticket's request is longer. Returns `false`, and changes
    /// nothing, if the first byte has come.
    pub(crate) fn on_grown(
        &mut self,
        snapshot: Option<&Snapshot>,
        now: Millis,
        ticket: &mut Ticket,
        more: Sent,
    ) -> bool {
        if ticket.started {
            return false;
        }
        let send = self.remember(now, ticket.endpoint, &more, true);
        self.bring(snapshot, &send, more.pending);
        ticket.pending.add(more.pending);
        let grown = |predicted_s: f32| predicted_s + more.predicted_s.unwrap_or(0.0);
        ticket.predicted_s = ticket.predicted_s.map(grown);
        true
    }

    /// Records that the first byte of the ticket's request will end this much prefill, which was
    /// not known when it was sent. Nothing changes once the first byte has come.
    pub(crate) fn on_streamed(
        &mut self,
        snapshot: Option<&Snapshot>,
        ticket: &mut Ticket,
        prefill_us: u64,
    ) {
        if ticket.started {
            return;
        }
        let more = Pending {
            tokens: 0,
            prefill_us,
        };
        ticket.pending.add(more);
        if snapshot.is_some_and(|snapshot| snapshot.index_of(ticket.endpoint).is_some()) {
            self.ahead_us = self.ahead_us.saturating_add(prefill_us);
        }
        if let Some(count) = self.count(snapshot, ticket.endpoint) {
            count.pending.add(more);
        }
    }

    /// Keeps what was sent for the next table.
    fn remember(&mut self, now: Millis, endpoint: EndpointId, sent: &Sent, is_more: bool) -> Send {
        let send = Send {
            number: self.sent,
            at: now,
            endpoint,
            work_us: sent.work_us,
            prompt_tokens: sent.prompt_tokens,
            is_more,
        };
        if self.sends.len() >= SENDS_KEPT {
            self.sends.pop_front();
        }
        self.sends.push_back(send);
        self.sent += 1;
        send
    }

    /// Adds to the work of an endpoint, and returns what is counted there.
    fn bring(&mut self, snapshot: Option<&Snapshot>, send: &Send, pending: Pending) -> &mut Count {
        let own = snapshot.and_then(|snapshot| slot(&mut self.own, snapshot, send.endpoint));
        let count = match own {
            Some(own) => {
                own.add_unseen(send);
                let ahead_us = send.work_us.saturating_add(pending.prefill_us);
                self.ahead_us = self.ahead_us.saturating_add(ahead_us);
                &mut own.count
            }
            None => self.elsewhere.entry(send.endpoint).or_default(),
        };
        count.pending.add(pending);
        count
    }

    /// How much was sent so far.
    pub(crate) fn sends(&self) -> Sends {
        Sends(self.sent)
    }

    /// Ends the prefill of the ticket's request. A second call does nothing.
    pub(crate) fn on_first_byte(&mut self, snapshot: Option<&Snapshot>, ticket: &mut Ticket) {
        ticket.started = true;
        let pending = core::mem::take(&mut ticket.pending);
        if snapshot.is_some_and(|snapshot| snapshot.index_of(ticket.endpoint).is_some()) {
            self.ahead_us = self.ahead_us.saturating_sub(pending.prefill_us);
        }
        if let Some(count) = self.count(snapshot, ticket.endpoint) {
            count.pending.take_out(pending);
        }
    }

    /// Ends the ticket's request.
    pub(crate) fn on_done(&mut self, snapshot: Option<&Snapshot>, mut ticket: Ticket) {
        self.on_first_byte(snapshot, &mut ticket);
        let id = ticket.endpoint;
        if let Some(own) = snapshot.and_then(|snapshot| slot(&mut self.own, snapshot, id)) {
            own.count.in_flight = own.count.in_flight.saturating_sub(1);
            self.total = self.total.saturating_sub(1);
        } else if let Some(count) = self.elsewhere.get_mut(&id) {
            count.in_flight = count.in_flight.saturating_sub(1);
            if count.in_flight == 0 {
                self.elsewhere.remove(&id);
            }
        }
    }

    fn count(&mut self, snapshot: Option<&Snapshot>, id: EndpointId) -> Option<&mut Count> {
        match snapshot.and_then(|snapshot| slot(&mut self.own, snapshot, id)) {
            Some(own) => Some(&mut own.count),
            None => self.elsewhere.get_mut(&id),
        }
    }

    fn at(&self, index: u32) -> Option<&Own> {
        self.own.get(index as usize)
    }

    /// Own requests in flight on the endpoint at `index`.
    pub(crate) fn in_flight(&self, index: u32) -> u32 {
        self.at(index).map_or(0, |own| own.count.in_flight)
    }

    /// Own requests in flight on all endpoints of the table.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Seconds of own work on all endpoints of the table that no row has seen, plus prefill without
    /// a first byte. Work that is both counts twice.
    pub(crate) fn ahead_s(&self) -> f64 {
        self.ahead_us as f64 / 1e6
    }

    /// Seconds of own work that the row at `index` has not seen.
    pub(crate) fn unseen_s(&self, index: u32) -> f64 {
        let own = self.at(index);
        own.map_or(0.0, |own| own.unseen_us as f64 / 1e6)
    }

    /// Own requests that the row at `index` has not seen, including those that have ended.
    pub(crate) fn unseen_requests(&self, index: u32) -> u32 {
        self.at(index).map_or(0, |own| own.unseen)
    }

    /// Prompt tokens of these requests.
    pub(crate) fn unseen_tokens(&self, index: u32) -> u64 {
        self.at(index).map_or(0, |own| own.unseen_tokens)
    }

    /// Seconds of own prefill that was sent to `index` and has shown no first byte.
    pub(crate) fn pending_s(&self, index: u32) -> f64 {
        let own = self.at(index);
        own.map_or(0.0, |own| own.count.pending.prefill_us as f64 / 1e6)
    }

    /// Every endpoint with own requests in flight, those of the table first.
    pub(crate) fn work<'a>(
        &'a self,
        snapshot: Option<&'a Snapshot>,
    ) -> impl Iterator<Item = OwnWork> + 'a {
        let ids = snapshot
            .map_or(&[][..], Snapshot::endpoints)
            .iter()
            .map(|endpoint| endpoint.id);
        let known = ids.zip(self.own.iter().map(|own| own.count));
        let elsewhere = self.elsewhere.iter().map(|(id, count)| (*id, *count));
        known
            .chain(elsewhere)
            .filter(|(_, count)| count.in_flight > 0)
            .map(|(endpoint, count)| OwnWork {
                endpoint,
                in_flight: count.in_flight,
                pending_tokens: count.pending.tokens,
                pending_prefill_us: count.pending.prefill_us,
            })
    }
}

/// When a row was taken, on the picker's clock.
fn taken_at(snapshot: &Snapshot, age_ms: u32) -> Millis {
    Millis(snapshot.arrived_at().0.saturating_sub(u64::from(age_ms)))
}

fn slot<'a>(own: &'a mut [Own], snapshot: &Snapshot, id: EndpointId) -> Option<&'a mut Own> {
    own.get_mut(usize::try_from(snapshot.index_of(id)?).ok()?)
}
