//! One worker's books of a pool: what it sent, and what it reports of that.

use std::rc::Rc;

use trimtab_loadtable::{EndpointReport, ErrorKind, Report};
use trimtab_pick::{
    Booking, Decision, EndpointId, Millis, Outcome, Picker, Policy, Request, Rng, Sends, Snapshot,
    WaterLevel,
};

use crate::outbox::{Lists, Outbox, row_of};
use crate::recent::Recent;
use crate::sent::{Counted, Sent};
use crate::tally::Tally;

/// One worker's books of a pool: its picker, and what it reports. A request is in both or in none.
///
/// The `on_*` methods record what happened to a request, in the picker's books and in the totals.
#[derive(Debug)]
pub struct Books<P = WaterLevel> {
    picker: Picker<P>,
    tally: Tally,
    outbox: Outbox,
    /// Number of the last report.
    number: u64,
    /// What had been sent when each of the last reports was written.
    sends: Recent<Sends>,
}

impl<P: Policy> Books<P> {
    /// Begins with a picker that has sent nothing.
    #[must_use]
    pub fn new(picker: Picker<P>) -> Self {
        Self {
            picker,
            tally: Tally::default(),
            outbox: Outbox::default(),
            number: 0,
            sends: Recent::default(),
        }
    }

    /// Returns the picker.
    #[must_use]
    pub fn picker(&self) -> &Picker<P> {
        &self.picker
    }

    /// Returns the picker, for what is not about a request that is sent.
    pub fn picker_mut(&mut self) -> &mut Picker<P> {
        &mut self.picker
    }

    /// Takes a new table, as [`Picker::on_table`]. The totals forget endpoints that it does not
    /// have, unless requests are in flight there.
    ///
    /// - `reported`: what [`sends`](Self::sends) returned for the newest report that the table has
    ///   taken in; absent: not known.
    pub fn on_table(&mut self, snapshot: Rc<Snapshot>, reported: Option<Sends>) {
        self.tally.retain(|id| snapshot.index_of(id).is_some());
        self.picker.on_table(snapshot, reported);
    }

    /// Returns what had been sent when the report with this number was written. `None`: there was
    /// no such report, or it is too long ago.
    #[must_use]
    pub fn sends(&self, report: u64) -> Option<Sends> {
        self.sends.find(report).copied()
    }

    /// Counts a request on which nothing was decided, for want of a table.
    pub fn on_undecided(&mut self) {
        self.tally.on_decided();
    }

    /// Decides on a request, as [`Picker::choose`], and counts it with the keys that it shares with
    /// others.
    pub fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision {
        self.tally.on_decided();
        let decision = self.picker.choose(now, rng, request);
        let keys = decision.booking.shared_keys();
        keys.for_each(|key| self.outbox.count(key));
        decision
    }

    /// A request is sent to `endpoint`, which has this address.
    ///
    /// - `booking`: as for [`Picker::on_sent`].
    /// - `counted`: how reports shall count the request.
    pub fn on_sent(
        &mut self,
        now: Millis,
        endpoint: EndpointId,
        address: &Rc<str>,
        booking: &Booking,
        counted: Counted,
    ) -> Sent {
        let ticket = self.picker.on_sent(now, endpoint, booking);
        Sent {
            counted: self.tally.on_sent(&ticket, address, counted),
            ticket,
            address: Rc::clone(address),
        }
    }

    /// The request went elsewhere: a retry, or an endpoint that the proxy would not use. It failed
    /// where it was.
    ///
    /// - `to`: where it went; absent: to no endpoint of the table. Then `None` is returned, and
    ///   there are no books to keep.
    pub fn on_rerouted(
        &mut self,
        now: Millis,
        sent: Sent,
        to: Option<(EndpointId, &Rc<str>)>,
        booking: &Booking,
    ) -> Option<Sent> {
        let counted = sent.counted;
        self.on_done(sent, true);
        let (endpoint, address) = to?;
        Some(self.on_sent(now, endpoint, address, booking, counted))
    }

    /// All of the request's body has gone out.
    pub fn on_whole(&mut self, sent: &mut Sent) {
        self.tally.on_whole(sent);
    }

    /// The prompt is longer than was known, as [`Picker::on_grown`]. Returns whether to report it
    /// at once.
    pub fn on_grown(
        &mut self,
        now: Millis,
        sent: &mut Sent,
        booking: &Booking,
        tokens: u32,
    ) -> bool {
        if !sent.ticket.is_pending() {
            return false;
        }
        self.tally.on_grown(sent, tokens);
        self.picker.on_grown(now, &mut sent.ticket, booking, tokens)
    }

    /// The answer is streamed, as [`Picker::on_streamed`].
    pub fn on_streamed(&mut self, sent: &mut Sent, booking: &mut Booking) {
        self.picker.on_streamed(&mut sent.ticket, booking);
    }

    /// The content of the answer has begun, so prefill is over. A second call does nothing.
    pub fn on_first_byte(&mut self, now: Millis, sent: &mut Sent) {
        // The ticket forgets its pending tokens, so the totals come first, here and below.
        self.tally.on_first_byte(sent);
        self.picker.on_first_byte(now, &mut sent.ticket);
    }

    /// Records how the request went, as [`Picker::on_outcome`]. Returns whether its endpoint is
    /// left out because of this.
    pub fn on_outcome(&mut self, now: Millis, sent: &mut Sent, outcome: Outcome) -> bool {
        self.picker.on_outcome(now, &mut sent.ticket, outcome)
    }

    /// The request ended.
    ///
    /// - `failed`: by a reset, a timeout, a failed connection or a 5xx.
    pub fn on_done(&mut self, sent: Sent, failed: bool) {
        self.tally.on_done(&sent, failed);
        self.picker.on_done(sent.ticket);
    }

    /// The content of the answer began `ms` milliseconds after the placement.
    ///
    /// - `predicted_ms`: the prediction at the placement; absent: there was none, or another
    ///   endpoint answered.
    pub fn saw_first_byte(&mut self, sent: &Sent, ms: u32, predicted_ms: Option<u32>) {
        self.tally.saw_first_byte(sent, ms, predicted_ms);
    }

    /// A whole answer ended `ms` milliseconds after the placement.
    pub fn saw_end(&mut self, sent: &Sent, ms: u32) {
        self.tally.saw_end(sent, ms);
    }

    /// The request went wrong.
    pub fn saw_error(&mut self, sent: &Sent, kind: ErrorKind) {
        self.tally.saw_error(sent, kind);
    }

    /// Returns whether a report would say something that the last one does not.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.tally.is_changed() || self.outbox.has_more()
    }

    /// Returns whether the last report has lists that may not have been taken. If not, the number
    /// of the lists that were taken last does not matter to [`write`](Self::write).
    #[must_use]
    pub fn waits(&self) -> bool {
        self.outbox.waits()
    }

    /// Returns the worker's report to write now, and the number of its lists.
    ///
    /// - `pool`: the pool's name.
    /// - `worker`: the worker's number.
    /// - `taken`: the number of the worker's lists that were taken last
    ///   ([`Merge::take_lists`](crate::Merge::take_lists)); 0: none.
    pub fn write(&mut self, pool: &str, worker: u64, taken: u64) -> (u64, Report) {
        self.number = self.number.saturating_add(1);
        self.sends.push(self.number, self.picker.sends());
        let (tally, picker) = (&mut self.tally, &mut self.picker);
        let (number, lists) = self.outbox.show(taken, || {
            let mut new = Lists {
                seen: tally.take_seen(),
                ..Lists::default()
            };
            picker.take_moved(|key, endpoint| _ = new.moved.insert(key, endpoint));
            picker.take_held(|key, endpoint| _ = new.held.insert(key, endpoint));
            new
        });
        let mut endpoints = tally.take();
        for (endpoint, seen) in &lists.seen {
            let row = row(tally, &endpoints, *endpoint);
            if let Some(totals) = row.and_then(|row| endpoints.get_mut(row)) {
                totals.seen.clone_from(seen);
            }
        }
        let row = |endpoint: &EndpointId| row(tally, &endpoints, *endpoint);
        let (moved, held) = (lists.moved(row), lists.held(row));
        let report = Report {
            pool: pool.to_owned(),
            proxy: worker,
            sequence: self.number,
            workers: u32::from(tally.decided > 0),
            decided: tally.decided,
            prefixes: lists.prefixes(),
            moved,
            held,
            endpoints,
            ..Report::default()
        };
        (number, report)
    }
}

/// Returns the row of an endpoint in the totals.
fn row(tally: &Tally, totals: &[EndpointReport], endpoint: EndpointId) -> Option<usize> {
    row_of(totals, tally.address(endpoint)?)
}

#[cfg(test)]
mod tests;
