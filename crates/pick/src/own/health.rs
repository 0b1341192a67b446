//! This picker's own view of which endpoints fail: ejection, probation, slow start.
//!
//! The source is how own requests ended. That is known at once, and the table does not have it. The
//! phases of an endpoint:
//!
//! 1. Used like any other.
//! 2. Ejected, after two failed connections or three failed answers with no success between them.
//! 3. On probation, when the ejection is over: it gets one request at a time. A failure ejects
//!    again, for twice as long.
//! 4. In slow start, once the first byte of that request has come: its share of the decisions grows
//!    to all of them. Then it is used again.
//!
//! An endpoint that refuses (429) has too much to do, or its client has: limits hold for API keys,
//! tenants and adapters, too. One answer does not tell which. So a first rest is short. If a
//! request that was sent after the refusal succeeds, the endpoint is selective: for a minute after
//! its last success, single refusals cause no rest. If the next one is refused too, it rests for
//! twice as long, up to what it asks for. A refused client itself goes elsewhere ([`Refusals`]).
//!
//! There is always an endpoint to choose. When more than half of the table's members are out, all
//! are used, as Envoy does below its panic threshold. An endpoint that then succeeds is used at
//! once, and the others are on probation.
//!
//! The shape is that of Linkerd's failure accrual: consecutive failures, ejection that doubles, and
//! one probe at its end. The first ejection lasts 5 s, as in `deploy/envoy`. Envoy's outlier
//! detection counts five consecutive 5xx, and its ejections grow linearly.
//!
//! Rejected: failure rates over a window. They need a count of every success, and so a question to
//! the proxy about every answer.

mod refusals;
mod trouble;
mod view;

use alloc::vec::Vec;

use crate::own::ticket::Ticket;
use crate::{EndpointId, Millis, Snapshot};
use refusals::Refusals;
use trouble::{REST_MS, Trouble, Wants};
pub(crate) use view::Slow;
use view::View;

/// Most endpoints with recent trouble that are remembered. Further ones are ignored.
const MAX_TROUBLES: usize = 1_024;

/// How a request went, as far as that says something about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer.
    Ok,
    /// An error that is the client's, such as 401 or 404. It says nothing about the endpoint.
    Rejected,
    /// The endpoint could not be reached.
    ConnectFailure,
    /// The endpoint broke off, or the proxy's timeout passed.
    Reset,
    /// The endpoint answered 5xx.
    ServerError,
    /// The endpoint refuses: 429, or 503 with `Retry-After`. It has too much to do, or the client
    /// has reached a limit of its own. This is no failure.
    Overloaded {
        /// How long it asks for a rest, in milliseconds. Any value is safe. Absent: 1 s.
        retry_after_ms: Option<u32>,
    },
}

impl Outcome {
    /// Returns for how long the endpoint asks to be left alone, at most `max_ms`.
    fn asked_ms(self, max_ms: u64) -> u64 {
        match self {
            Self::Overloaded { retry_after_ms } => {
                retry_after_ms.map_or(REST_MS, u64::from).min(max_ms)
            }
            _ => 0,
        }
    }
}

/// The endpoints with recent trouble.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Longest ejection and rest, in milliseconds. 0: no endpoint is left out.
    max_ejection_ms: u64,
    /// Ascending by endpoint.
    troubles: Vec<Trouble>,
    refusals: Refusals,
    view: View,
}

impl Health {
    pub(crate) fn new(max_ejection_ms: u64) -> Self {
        Self {
            max_ejection_ms,
            ..Self::default()
        }
    }

    /// Forgets all indices, because a new table came.
    pub(crate) fn on_table(&mut self) {
        self.view.forget();
    }

    /// Brings everything up to `now`. Costs nothing without trouble, and next to nothing as long as
    /// no trouble changes.
    pub(crate) fn refresh(&mut self, now: Millis, table: &Snapshot) {
        if self.view.is_current(now) {
            return;
        }
        self.troubles.retain_mut(|trouble| trouble.advance(now));
        self.view.renew(now, &self.troubles, table);
    }

    /// The table without the endpoints that are left out. `None`: none is left out.
    pub(crate) fn table(&self) -> Option<&Snapshot> {
        self.view.table()
    }

    /// Endpoints in slow start.
    pub(crate) fn slow(&self) -> &[Slow] {
        self.view.slow()
    }

    /// Whether the endpoint refuses this client, and other endpoints should be asked first.
    ///
    /// - `client`: as [`Request::client`](crate::Request::client).
    pub(crate) fn refuses(&self, now: Millis, client: u32, endpoint: EndpointId) -> bool {
        self.refusals.refuses(now, client, endpoint)
    }

    /// Records that a request was sent.
    pub(crate) fn on_sent(&mut self, now: Millis, ticket: &mut Ticket) {
        let endpoint = ticket.endpoint();
        ticket.doubts_refusal = self.refusals.is_recent(now, ticket.client, endpoint);
        self.change(endpoint, &mut |trouble| ticket.probe = trouble.on_sent(now));
    }

    /// Records that a request has shown that the endpoint has recovered.
    pub(crate) fn on_recovered(&mut self, now: Millis, endpoint: EndpointId) {
        self.change(endpoint, &mut |trouble| trouble.on_recovered(now));
        if self.view.panics() {
            // What most of them had in common is over. Each may show it at once, before its own
            // ejection ends.
            self.troubles
                .iter_mut()
                .for_each(|trouble| trouble.on_hope(now));
            self.view.outdate();
        }
    }

    /// Records that a request on probation ended and showed nothing. Another request may try.
    pub(crate) fn on_undecided(&mut self, endpoint: EndpointId) {
        self.change(endpoint, &mut Trouble::on_undecided);
    }

    /// Records that a request went well. Needed only for requests that follow trouble.
    pub(crate) fn on_ok(&mut self, now: Millis, ticket: &Ticket) {
        if ticket.doubts_refusal {
            self.refusals
                .on_served(now, ticket.client, ticket.endpoint());
        }
        self.change(ticket.endpoint(), &mut |trouble| trouble.on_ok(now));
    }

    /// Records that a request failed. Returns whether the endpoint is left out because of it.
    ///
    /// - `probe`: the request was sent while the endpoint was out.
    #[cold]
    #[inline(never)]
    pub(crate) fn on_failure(
        &mut self,
        now: Millis,
        ticket: &Ticket,
        outcome: Outcome,
        probe: bool,
    ) -> bool {
        let endpoint = ticket.endpoint();
        let (max_ms, mut is_out) = (self.max_ejection_ms, false);
        self.refusals
            .on_refused(now, ticket.client, endpoint, outcome.asked_ms(max_ms));
        if max_ms > 0 && self.has_room(now, endpoint) {
            self.change(endpoint, &mut |trouble| {
                is_out = trouble.on_failure(now, outcome, probe, max_ms);
            });
        }
        is_out
    }

    /// Makes a place for an endpoint that has none. Returns `false` if there is no room.
    fn has_room(&mut self, now: Millis, endpoint: EndpointId) -> bool {
        let Err(at) = self.find(endpoint) else {
            return true;
        };
        if self.troubles.len() >= MAX_TROUBLES {
            return false;
        }
        self.troubles.insert(at, Trouble::new(now, endpoint));
        true
    }

    #[inline(never)]
    fn find(&self, endpoint: EndpointId) -> Result<usize, usize> {
        self.troubles
            .binary_search_by_key(&endpoint, |trouble| trouble.endpoint)
    }

    #[inline(never)]
    fn change(&mut self, endpoint: EndpointId, run: &mut dyn FnMut(&mut Trouble)) {
        let Ok(at) = self.find(endpoint) else { return };
        let Some(trouble) = self.troubles.get_mut(at) else {
            return;
        };
        let before = (trouble.wants(), trouble.changes_at());
        run(trouble);
        let after = (trouble.wants(), trouble.changes_at());
        if after.0 == Wants::Oblivion {
            self.troubles.remove(at);
        }
        if before != after {
            self.view.outdate();
        }
    }
}
