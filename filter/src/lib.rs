//! The proxy-wasm filter: names the endpoints for each completion request that passes Envoy.
//!
//! Comes in: Envoy's callbacks for each request, and the pool's load table. Goes out: the
//! destination header, and a report of what is in flight. The header is
//! `ip:port[,ip:port[,ip:port]]`, best first, or another [`Form`] of it. Envoy's `override_host`
//! policy follows it.
//!
//! Never:
//!
//! - a decision of its own: [`trimtab_pick`] decides;
//! - a failed request: every path ends in "continue", whatever status a hostcall answers;
//! - prompt text that is kept or sent anywhere;
//! - memory that grows with what clients send.
//!
//! The filter places POST requests whose path ends with one of [`Config::paths`]. It leaves
//! everything else, upgrades and CONNECT included, to Envoy's own balancing. But it removes a
//! client's destination header from *every* request.
//!
//! How data passes through the modules:
//!
//! - A request: `callbacks` -> `request` -> `facts` (what the decision may know) -> `plugin` (which
//!   pool) -> `pool` (decide, keep books).
//! - A table: `callbacks` -> `plugin` -> `sync` (an answer, or what another worker stored) ->
//!   `pool` (checks and adopts it).
//! - A report: `pool` (the books, [`trimtab_report`]) -> `sync` (the other workers, the
//!   aggregator).
#![deny(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[cfg(target_arch = "wasm32")]
mod callbacks;
mod config;
mod facts;
mod host;
mod metrics;
pub mod names;
mod pair;
mod plugin;
mod pool;
mod request;
mod sync;

pub use config::destination::{Destination, Form};
pub use config::{Config, MetricNames, Mode, PoolSettings, Role};
pub use facts::oracle;
