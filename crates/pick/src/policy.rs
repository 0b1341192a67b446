//! What a rule of choice sees, and what it answers.

use core::fmt::Debug;

use crate::inflight::InFlight;
use crate::{Decision, EndpointId, Millis, Request, Rng, Snapshot};

/// A rule of choice. [`Picker`](crate::Picker) keeps the books and fills the list up for retries, so that a rule is
/// one function over a [`View`], and all rules are compared on the same books.
pub trait Policy: Debug {
    /// Chooses where `request` should go: at least one endpoint that may be chosen, best first. Called only while there
    /// is one.
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, request: &Request) -> Decision;

    /// The request was sent to `endpoint`; for rules with a memory of their own.
    fn on_sent(&mut self, endpoint: EndpointId, request: &Request) {
        let _ = (endpoint, request);
    }
}

/// What a rule may look at: the newest table and this decider's own requests.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) now: Millis,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) inflight: &'a InFlight,
}
