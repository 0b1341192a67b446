//! A request on its way, as the books know it.

use std::rc::Rc;

use trimtab_pick::{EndpointId, Ticket};

/// A request on its way: its ticket in the picker's books, and how the totals count it. The caller
/// hands it back when the request ends.
#[derive(Debug)]
#[must_use = "a request that is dropped stays in flight for ever"]
pub struct Sent {
    pub(crate) ticket: Ticket,
    pub(crate) address: Rc<str>,
    pub(crate) counted: Counted,
}

/// How the totals of a report count a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Not at all: no engine works on it, or there is no room for another endpoint.
    No,
    /// Some of its body is still coming, so its server has nothing to do yet.
    Coming,
    /// All of its body has gone out.
    Whole,
}

impl Sent {
    /// Returns the ticket in the picker's books.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Returns the address of the endpoint that the request went to.
    #[must_use]
    pub fn address(&self) -> &Rc<str> {
        &self.address
    }

    /// Returns the predicted milliseconds from sending the request until its first byte. Absent:
    /// see [`Ticket::predicted_s`].
    #[must_use]
    pub fn predicted_ms(&self) -> Option<u32> {
        // `as` from float saturates, and no prediction is negative.
        Some((self.ticket.predicted_s()? * 1_000.0 + 0.5) as u32)
    }

    /// Returns the endpoint in whose totals the request counts. Absent: in none.
    pub(crate) fn counts_at(&self) -> Option<EndpointId> {
        (self.counted != Counted::No).then(|| self.ticket.endpoint())
    }

    /// Returns the uncached tokens of its prompt that are pending, as reports count them.
    pub(crate) fn pending_tokens(&self) -> u32 {
        u32::try_from(self.ticket.uncached_tokens()).unwrap_or(u32::MAX)
    }
}
