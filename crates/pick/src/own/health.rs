//! This decider's own view of who fails: ejection, probation, slow start.
//!
//! What is known here and not in the table: how own requests ended, a fraction of a second after the fact. In steps:
//! used -> ejected after two or three failures with no success between them -> when that is over, probation: one
//! request at a time -> its first byte comes: slow start, with a share of the decisions that grows to all -> used. A failure
//! on probation ejects again, for twice as long. Who says that it is overloaded rests as long as it asks, and is then used.
//!
//! Never without an endpoint: when more than half of the table's are out, all are used, as Envoy does below its panic
//! threshold. What then succeeds is back at once, and the others are on probation.
//!
//! The shape is that of Linkerd's failure accrual (consecutive failures, ejection that doubles, one probe at its end), with the
//! ejection of `deploy/envoy` (5 s) to begin with; Envoy's outlier detection counts five consecutive 5xx and grows linearly.
//! Rejected: failure rates over a window, which need a count of every success, and so a question to the proxy about every
//! answer.

mod trouble;
mod view;

use alloc::vec::Vec;

use crate::{EndpointId, Millis, Snapshot};
use trouble::{Trouble, Wants};
pub(crate) use view::Slow;
use view::View;

/// Endpoints with recent trouble that are held; of more, the later ones are not noticed.
const MAX_TROUBLES: usize = 1_024;

/// How a request went, as far as it tells about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer, or an error that is the client's.
    Ok,
    /// The endpoint could not be reached.
    ConnectFailure,
    /// The endpoint broke off or let the proxy's timeout pass.
    Reset,
    /// The endpoint answered 5xx.
    ServerError,
    /// The endpoint has too much to do (429, or 503 with `Retry-After`). That is no failure.
    Overloaded {
        /// How long it wants to be left alone, in milliseconds; any value is safe. Absent: 1 s.
        retry_after_ms: Option<u32>,
    },
}

/// Endpoints with recent trouble.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Longest ejection and rest, in milliseconds; 0: nobody is left out.
    max_ejection_ms: u64,
    /// By endpoint, ascending.
    troubles: Vec<Trouble>,
    view: View,
}

impl Health {
    pub(crate) fn new(max_ejection_ms: u64) -> Self {
        Self {
            max_ejection_ms,
            ..Self::default()
        }
    }

    /// A new table came: indices mean something else.
    pub(crate) fn on_table(&mut self) {
        self.view.forget();
    }

    /// Brings everything up to `now`. Costs nothing without trouble, and else, but when something has changed, next to nothing.
    pub(crate) fn refresh(&mut self, now: Millis, table: &Snapshot) {
        if self.view.is_current(now) {
            return;
        }
        self.troubles.retain_mut(|trouble| trouble.advance(now));
        self.view.renew(now, &self.troubles, table);
    }

    /// The table without those that are left out; absent: nobody is.
    pub(crate) fn table(&self) -> Option<&Snapshot> {
        self.view.table()
    }

    /// Endpoints in slow start.
    pub(crate) fn slow(&self) -> &[Slow] {
        self.view.slow()
    }

    /// A request was sent. Says whether its first byte will show that the endpoint has recovered.
    pub(crate) fn on_sent(&mut self, now: Millis, endpoint: EndpointId) -> bool {
        let mut probe = false;
        self.change(endpoint, &mut |trouble| probe = trouble.on_sent(now));
        probe
    }

    /// A request that was to show it has shown that the endpoint has recovered.
    pub(crate) fn on_recovered(&mut self, now: Millis, endpoint: EndpointId) {
        self.change(endpoint, &mut |trouble| trouble.on_recovered(now));
        if self.view.panics() {
            // What most of them had in common is over: each may show it now instead of when its own ejection ends.
            self.troubles
                .iter_mut()
                .for_each(|trouble| trouble.on_hope(now));
            self.view.outdate();
        }
    }

    /// A request on probation ended and showed nothing: another may.
    pub(crate) fn on_undecided(&mut self, endpoint: EndpointId) {
        self.change(endpoint, &mut Trouble::on_undecided);
    }

    /// A request went well. Only those that follow trouble need to be told.
    pub(crate) fn on_ok(&mut self, endpoint: EndpointId) {
        self.change(endpoint, &mut Trouble::on_ok);
    }

    /// A request failed. `probe`: it was sent while the endpoint was out. Says whether the endpoint is to be left out from now on.
    #[cold]
    #[inline(never)]
    pub(crate) fn on_failure(
        &mut self,
        now: Millis,
        endpoint: EndpointId,
        outcome: Outcome,
        probe: bool,
    ) -> bool {
        let (max_ms, mut is_out) = (self.max_ejection_ms, false);
        if max_ms > 0 && self.has_room(now, endpoint) {
            self.change(endpoint, &mut |trouble| {
                is_out = trouble.on_failure(now, outcome, probe, max_ms);
            });
        }
        is_out
    }

    /// Makes a place for an endpoint that has none. `false`: there is no room.
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
