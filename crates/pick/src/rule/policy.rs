//! What a rule of choice sees, and what it answers.

use core::fmt::Debug;

use crate::own::health::Slow;
use crate::own::ledger::Ledger;
use crate::{Booking, Decision, EndpointId, Millis, Request, Rng, Snapshot};

/// A rule of choice. [`Picker`](crate::Picker) keeps the books and fills the list up for retries, so that a rule is
/// one function over a [`View`], and all rules are compared on the same books.
pub trait Policy: Debug {
    /// Takes note of a request and says what it makes of it: comes before [`choose`](Self::choose), once for each request.
    fn take(&mut self, view: &View<'_>, request: &Request) -> Booking {
        let _ = view;
        (*request).into()
    }

    /// Chooses where it should go: at least one endpoint that may be chosen, best first. Called only while there is one.
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, booking: &Booking) -> Decision;

    /// Prompt tokens of the request that the endpoint at `index` is expected to have cached, by what this rule does.
    fn expected_hit(&self, snapshot: &Snapshot, booking: &Booking, index: u32) -> u32 {
        let _ = (snapshot, booking, index);
        0
    }

    /// Another decider sent a turn of the conversation `key` to `endpoint`, where its key does not say.
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        let _ = (now, key, endpoint);
    }

    /// The request was sent to `endpoint`; for rules with a memory of their own. `is_large`: it brings much prefill there.
    fn on_sent(
        &mut self,
        now: Millis,
        snapshot: &Snapshot,
        endpoint: EndpointId,
        booking: &Booking,
        is_large: bool,
    ) {
        let _ = (now, snapshot, endpoint, booking, is_large);
    }

    /// Hands over the conversations whose turns went where their keys do not say, each once; for reports.
    fn take_moved(&mut self, each: &mut dyn FnMut(u64, EndpointId)) {
        let _ = each;
    }
}

/// What a rule may look at: the newest table and this decider's own requests.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) now: Millis,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) inflight: &'a Ledger,
    /// Endpoints in slow start.
    pub(crate) slow: &'a [Slow],
}
