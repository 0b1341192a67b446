//! A request as it was decided on.

use crate::rule::candidates;
use crate::{EndpointId, Request};

/// A request as a decision took it, to be said again when it is sent: what of it others share, and where its conversation was. Retries and
/// proxies that choose by themselves send it elsewhere, seconds later, when the decider knows other things; the books are kept by what
/// was known when it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Booking {
    /// Its shared part as the rule judged it.
    pub(crate) request: Request,
    /// Where its conversation was; absent: it has none, or the table has no place for it.
    pub(crate) home: Option<EndpointId>,
    /// It tries out an endpoint that gets no requests otherwise.
    pub(crate) tries_out: bool,
}

impl Booking {
    /// The keys that the request shares with many others: what reports count and the heat list names.
    pub fn shared_keys(&self) -> impl Iterator<Item = u64> + use<> {
        candidates::shared_keys(&self.request)
    }

    /// The prompt turns out to have so many tokens. Gives how many more these are than was thought; absent: no more, or it is not known
    /// how many were thought.
    pub fn grow(&mut self, prompt_tokens: u32) -> Option<u32> {
        let known = self.request.prompt_tokens.as_mut()?;
        let more = prompt_tokens.saturating_sub(*known);
        *known = prompt_tokens.max(*known);
        (more > 0).then_some(more)
    }
}

/// A request that nobody decided on, as it is.
impl From<Request> for Booking {
    fn from(request: Request) -> Self {
        Self {
            request,
            home: None,
            tries_out: false,
        }
    }
}
