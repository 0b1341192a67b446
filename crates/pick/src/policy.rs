//! What a rule of choice sees, and what it answers.

use core::fmt::Debug;

use crate::health::Slow;
use crate::inflight::InFlight;
use crate::{Decision, EndpointId, Millis, Request, Rng, Snapshot};

/// A rule of choice. [`Picker`](crate::Picker) keeps the books and fills the list up for retries, so that a rule is
/// one function over a [`View`], and all rules are compared on the same books.
pub trait Policy: Debug {
    /// Chooses where `request` should go: at least one endpoint that may be chosen, best first. Called only while there
    /// is one.
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, request: &Request) -> Decision;

    /// Prompt tokens of `request`, as [`judged`](Self::judged), that the endpoint at `index` is expected to have cached, by what this rule does.
    fn expected_hit(&self, now: Millis, snapshot: &Snapshot, request: &Request, index: u32) -> u32 {
        let _ = (now, snapshot, request, index);
        0
    }

    /// The request as this rule takes it, whose keys others should hear of.
    fn judged(&self, snapshot: &Snapshot, request: &Request) -> Request {
        let _ = snapshot;
        *request
    }

    /// Another decider sent a turn of the conversation `key` to `endpoint`, where its key does not say.
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        let _ = (now, key, endpoint);
    }

    /// The request, as [`judged`](Self::judged), was sent to `endpoint`; for rules with a memory of their own. `is_news`: it brings much prefill there.
    fn on_sent(
        &mut self,
        now: Millis,
        snapshot: &Snapshot,
        endpoint: EndpointId,
        request: &Request,
        is_news: bool,
    ) {
        let _ = (now, snapshot, endpoint, request, is_news);
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
    pub(crate) inflight: &'a InFlight,
    /// Endpoints in slow start.
    pub(crate) slow: &'a [Slow],
}
