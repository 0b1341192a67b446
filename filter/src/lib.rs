//! The proxy-wasm filter.
//!
//! Comes in: Envoy's callbacks for each request, the pool's load table. Goes out: the destination header
//! (`ip:port[,ip:port[,ip:port]]`, best first) that Envoy's `override_host` policy follows, or another [`Form`] of it, and a report of what
//! is in flight.
//!
//! Never: a decision of its own ([`trimtab_pick`] decides), a failed request (every path ends in "continue"; every hostcall may answer
//! any status), prompt text kept or sent anywhere, memory that grows with what clients send.
//!
//! What is placed: POST requests whose path ends with one of [`Config::paths`]. Everything else, upgrades and CONNECT included, is
//! left to Envoy's own balancing, except that a destination header from the client is removed from *every* request.
//!
//! A request: `callbacks` -> `request` -> `facts` (what the decision may know) -> `plugin` (which pool) -> `pool` (decide, keep books).
//! A table: `callbacks` -> `plugin` -> `pool` -> `sync` (the other workers, the aggregator) -> `report`.
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
mod report;
mod request;
mod sync;

pub use config::destination::{Destination, Form};
pub use config::{Config, Mode, PoolSettings, Role};
pub use facts::oracle;
