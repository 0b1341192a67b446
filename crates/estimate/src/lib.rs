//! Makes the load table of a pool from samples of its endpoints and reports of proxies.
//!
//! Input: a [`Sample`] of one endpoint per scrape, [`Report`](trimtab_loadtable::Report)s of
//! proxies, the list of endpoints, and the time, always as an argument. Output: [`Pool::table`], a
//! table that satisfies [`Table::check`](trimtab_loadtable::Table::check) for any input. The crate
//! does no I/O, has no clock and no random numbers, does not panic, and uses no memory beyond
//! [`PoolConfig`]'s limits.
//!
//! How a row is made:
//!
//! 1. A sample is cleaned ([`Sample`] says what counts as absent) and compared with the one before.
//!    `interval` has the differences of counters; there is none across a restart. `by_turns` makes
//!    one server of pages that several processes serve by turns.
//! 2. Intervals feed decayed means of the pool's work (`work`) and the speed of the endpoint's
//!    hardware class (`speed`, with robust fits in `fit`).
//! 3. `reports` adds up what proxies have in flight, and moves a row from its scrape to the newest
//!    report. Each report counts once, in whatever order they come (`turn`).
//! 4. `rows` applies the formulas of `cost`.
//!
//! A missing signal is absent in the table and never counts as zero. If a page does not show the
//! queue, the endpoint's wait is that of what proxies have there; without reports it is absent.
//! `standing` says which endpoints may be chosen. `probes` tries out the others.
//!
//! Times are [`Duration`](std::time::Duration)s since an origin that the caller chooses. If the
//! time steps back, no time has passed. Functions of `libm` give the same bits natively and in
//! wasm.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::indexing_slicing)]

mod backlog;
mod by_turns;
mod change;
mod claim;
mod config;
pub mod cost;
mod endpoint;
mod fit;
mod flight;
mod found;
mod heat;
mod held;
mod interval;
mod means;
mod memory;
mod missed;
mod moved;
mod own_speed;
mod pace;
mod pool;
mod prior;
mod probes;
mod reports;
mod rows;
mod sample;
mod service;
mod speed;
mod stall;
mod standing;
#[cfg(test)]
mod tests;
mod tries;
mod turn;
mod turnover;
mod work;

pub use config::{EndpointSpec, PoolConfig};
pub use missed::Missed;
pub use pace::Pace;
pub use pool::Pool;
pub use prior::Prior;
pub use reports::{Accepted, Refusal};
pub use sample::{Adapters, Counters, Sample, SumCount};
