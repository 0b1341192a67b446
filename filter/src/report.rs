//! What a worker reports: totals by endpoint, and lists of what is reported once.

pub(crate) mod outbox;
pub(crate) mod recent;
pub(crate) mod reporter;
pub(crate) mod tally;
