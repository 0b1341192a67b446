//! Samples of endpoints over time and proxies' reports become the load table.
//!
//! Comes in: a [`Sample`] of one endpoint per scrape, [`Report`](trimtab_loadtable::Report)s of proxies, the list of
//! endpoints, and the time, always as an argument. Goes out: [`Pool::table`], a table that satisfies
//! [`Table::check`](trimtab_loadtable::Table::check) whatever came in. Never: I/O, a clock, entropy, a panic, memory beyond
//! [`PoolConfig`]'s limits.
//!
//! How a row comes about: a sample is cleaned ([`Sample`] says what counts as absent) and compared with the one before
//! (`interval`: differences of counters, none across a restart). Intervals feed decayed means of the pool's work (`work`)
//! and the speed of the endpoint's hardware class (`speed`, robust fits in `fit`). `reports` sums up what proxies have in
//! flight and moves a row forward from its scrape to the newest report, each report once in whatever order they come (`turn`).
//! `cost` holds the formulas, `rows` applies them.
//!
//! A signal that is missing is absent in the table and never counts as zero. The wait of an endpoint whose page says nothing of its queue is
//! that of what proxies have there, and absent without reports. `standing` says who may be chosen; who may not is tried out (`probes`).
//!
//! Times are [`Duration`](std::time::Duration)s since an origin of the caller's choice; one that steps back counts as no
//! time passed. Functions of `libm` give the same bits natively and in wasm.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::indexing_slicing)]

mod backlog;
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
