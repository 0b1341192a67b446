//! A request on its way, as the books know it.

use std::rc::Rc;

use trimtab_pick::Ticket;
use trimtab_report::Entry;

/// A request on its way: its ticket in the picker's books, and its entry in the totals.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(super) ticket: Ticket,
    /// Where it went.
    pub(super) address: Rc<str>,
    /// Absent: reports do not count the request.
    pub(super) entry: Option<Entry>,
}

impl Sent {
    /// Where the request went.
    pub(crate) fn address(&self) -> &Rc<str> {
        &self.address
    }

    /// The request's share in the totals.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Predicted milliseconds from sending the request there until its first byte. Absent: see
    /// [`Ticket::predicted_s`].
    pub(crate) fn predicted_ms(&self) -> Option<u32> {
        // `as` from float saturates, and no prediction is negative.
        Some((self.ticket.predicted_s()? * 1_000.0 + 0.5) as u32)
    }

    /// Whether the request is a probe: how it goes decides about its endpoint.
    pub(crate) fn is_probe(&self) -> bool {
        self.ticket.is_probe()
    }
}
