//! What a rule of choice sees, and what it answers.

use core::fmt::Debug;

use crate::own::health::Slow;
use crate::own::ledger::Ledger;
use crate::{Booking, Decision, EndpointId, Millis, Request, Rng, Snapshot};

/// A rule of choice.
///
/// [`Picker`](crate::Picker) keeps the books and fills the list up for retries. So a rule is one
/// function over a [`View`], [`choose`](Self::choose), and all rules are compared on the same
/// books. The other methods are for rules with a memory, and do nothing by default.
pub trait Policy: Debug {
    /// Records a request and returns the booking for it. Called once for each request, before
    /// [`choose`](Self::choose). By default the booking has the request as it is.
    fn take(&mut self, view: &View<'_>, request: &Request) -> Booking {
        let _ = view;
        (*request).into()
    }

    /// Chooses where the request should go: at least one endpoint that may be chosen, best first.
    /// Called only while there is such an endpoint.
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, booking: &Booking) -> Decision;

    /// Returns how many prompt tokens of the request the endpoint at `index` is expected to have
    /// cached. By default 0.
    fn expected_hit(&self, snapshot: &Snapshot, booking: &Booking, index: u32) -> u32 {
        let _ = (snapshot, booking, index);
        0
    }

    /// Records that another picker sent a turn of the conversation `key` to `endpoint`, which is
    /// not where its key says.
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        let _ = (now, key, endpoint);
    }

    /// Records that the request was sent to `endpoint`.
    ///
    /// - `snapshot`: the newest table. The view of a decision may leave out some of its endpoints.
    /// - `endpoint`: one of the choices or any other, whether the table has it or not.
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

impl<'a> View<'a> {
    /// Returns the newest table. Endpoints that are left out may not be chosen in it.
    #[must_use]
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Returns this picker's requests in flight on the endpoint at `index`.
    #[must_use]
    pub fn in_flight(&self, index: u32) -> u32 {
        self.inflight.in_flight(index)
    }

    /// Returns how many of this picker's requests the row at `index` has not seen, including those
    /// that have ended.
    #[must_use]
    pub fn unseen_requests(&self, index: u32) -> u32 {
        self.inflight.unseen_requests(index)
    }

    /// Returns the load that a new request meets at the endpoint at `index`, in seconds: the row's
    /// wait and running requests, and own work that the row has not seen.
    ///
    /// A signal that is absent counts as the worst of the pool. Infinite: there is no such
    /// endpoint.
    #[must_use]
    pub fn load_s(&self, index: u32) -> f64 {
        let row = self.snapshot.row(index);
        row.map_or(f64::INFINITY, |row| {
            row.load_s() + self.inflight.unseen_s(index)
        })
    }
}
