//! What a proxy reports of a pool: totals by endpoint, and lists of what is told once.
//!
//! How data passes through:
//!
//! 1. A worker decides and sends by its [`Books`]: the picker's tickets and the totals of the
//!    report in one. Each request is a [`Sent`] until it ends, [`Counted`] or not.
//! 2. [`Books::write`] makes the worker's [`Report`](trimtab_loadtable::Report): the totals, and
//!    lists that stay in it until they are taken.
//! 3. The holder of the lease finds the reports of all workers ([`Written`]). A [`Merge`] takes
//!    their lists and adds up their totals.
//! 4. [`Outgoing`] makes the proxy's report of it, for a [`Call`], and remembers what went out.
//! 5. The aggregator acknowledges a report: [`Outgoing::included`] says which of the workers'
//!    reports a table has taken in, and [`Books::sends`] what had been sent by then.
//!
//! The crate has no clock, no entropy and no I/O, and does not panic. Its memory is bounded by the
//! limits of a report.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::indexing_slicing)]

mod books;
mod merge;
mod outbox;
mod outgoing;
mod recent;
mod sent;
mod tally;
mod unheard;

pub use books::Books;
pub use merge::{Merge, Written, of_worker};
pub use outgoing::Outgoing;
pub use sent::{Counted, Sent};
pub use unheard::Call;
