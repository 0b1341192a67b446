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
//! Where to read on: `http` (one request) -> `facts` (what the decision may know) -> `worker` (decide, keep books);
//! `plugin` (configuration) -> `decider` (pools) -> `root` (one pool) -> `exchange` (the other workers) -> `poll` (the aggregator).
#![deny(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod answer;
mod config;
mod contexts;
mod decider;
mod destination;
mod exchange;
mod explain;
mod facts;
mod following;
mod gate;
mod holding;
mod host;
mod http;
mod in_flight;
mod keeping;
mod lease;
mod lists;
mod marks;
mod merge;
mod metrics;
pub mod names;
mod naming;
mod news;
mod outcome;
mod pairing;
mod passed;
mod passing;
mod placement;
mod plugin;
mod poll;
mod probing;
pub mod reading;
mod reporter;
mod root;
mod route;
mod shared;
mod sync;
mod table;
mod tally;
mod wake;
mod watch;
mod worker;

pub use config::{Config, Mode, Pool, Role};
pub use destination::{Destination, Form};
