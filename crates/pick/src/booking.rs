//! A request as it was decided on.

use crate::rule::candidates;
use crate::{EndpointId, Request};

/// A request as it was decided on, for the caller to hand back when the request is sent: what it
/// shares with others, and where its conversation was.
///
/// A retry, or a proxy that chooses by itself, may send the request elsewhere seconds later. By
/// then the picker knows other things. The books use what was known at the decision.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Booking {
    /// The request, with its shared part as the rule judged it.
    pub(crate) request: Request,
    /// The home of its conversation. Absent: there is no conversation, or no endpoint for it that
    /// may be chosen.
    pub(crate) home: Option<EndpointId>,
    /// The request tries out an endpoint because the table asked for it.
    pub(crate) tries_out: bool,
}

impl Booking {
    /// Returns the request, with its shared part as the rule judged it.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the keys that the request shares with many others. Reports count these keys, and the
    /// heat list names them.
    pub fn shared_keys(&self) -> impl Iterator<Item = u64> + use<> {
        candidates::shared_keys(&self.request)
    }

    /// Records that the prompt has this many tokens.
    ///
    /// Returns how many more they are than was known. Absent: they are no more, or the length was
    /// not known.
    pub fn grow(&mut self, prompt_tokens: u32) -> Option<u32> {
        let known = self.request.prompt_tokens.as_mut()?;
        let more = prompt_tokens.saturating_sub(*known);
        *known = prompt_tokens.max(*known);
        (more > 0).then_some(more)
    }
}

/// Books a request that nobody decided on, as it is.
impl From<Request> for Booking {
    fn from(request: Request) -> Self {
        Self {
            request,
            home: None,
            tries_out: false,
        }
    }
}
