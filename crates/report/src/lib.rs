//! What a proxy reports of a pool: totals by endpoint, and lists of what is reported once.
//!
//! How data passes through:
//!
//! 1. A worker counts what it sends, what starts and what ends in its [`Tally`]. Each request has
//!    an [`Entry`] until it ends.
//! 2. Its [`Reporter`] writes a [`Report`](trimtab_loadtable::Report) of the totals and of its
//!    [`Lists`]. An [`Outbox`] shows the same lists until they are taken.
//! 3. [`merge`] adds up the totals of all workers.
//! 4. [`Recent`] says what belonged to a report that a table has taken in, and [`Unheard`] what
//!    nobody has acknowledged.
//!
//! The crate has no clock, no entropy and no I/O, and does not panic. Its memory is bounded by the
//! limits of a report.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::indexing_slicing)]

mod outbox;
mod recent;
mod reporter;
mod tally;
mod unheard;

pub use outbox::{Lists, Outbox};
pub use recent::Recent;
pub use reporter::Reporter;
pub use tally::{Entry, Tally, merge};
pub use unheard::{Call, Unheard};
