//! What a rule of choice sees, and what it answers.

use core::fmt::Debug;

use crate::own::health::Slow;
use crate::own::ledger::Ledger;
use crate::{Booking, Decision, EndpointId, Millis, Request, Rng, Snapshot};

/// A rule of choice.
///
/// [`Picker`](crate::Picker) keeps the books and fills the list up for retries. So a rule is one
/// function over a [`View`], and all rules are compared on the same books.
pub trait Policy: Debug {
    /// Records a request and returns the booking for it. Called once for each request, before
    /// [`choose`](Self::choose).
    fn take(&mut self, view: &View<'_>, request: &Request) -> Booking {
        let _ = view;
        (*request).into()
    }

    /// Chooses where the request should go: at least one endpoint that may be chosen, best first.
    /// Called only while there is such an endpoint.
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, booking: &Booking) -> Decision;

    /// Returns how many prompt tokens of the request the endpoint at `index` is expected to have
    /// cached.
    fn expected_hit(&self, snapshot: &Snapshot, booking: &Booking, index: u32) -> u32 {
        let _ = (snapshot, booking, index);
        0
    }

    /// Records that another picker sent a turn of the conversation `key` to `endpoint`, which is
    /// not where its key says.
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        let _ = (now, key, endpoint);
    }

    /// Records that the request was sent to `endpoint`. For rules with a memory of their own.
    ///
    /// - `is_large`: the placement is large.
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

    /// Calls `each` with each conversation whose turn went elsewhere than its key says, and with
    /// the endpoint. Each turn is handed over once. For reports.
    fn take_moved(&mut self, each: &mut dyn FnMut(u64, EndpointId)) {
        let _ = each;
    }
}

/// What a rule may look at: the newest table and this picker's own requests.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) now: Millis,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) inflight: &'a Ledger,
    /// Endpoints in slow start.
    pub(crate) slow: &'a [Slow],
}
