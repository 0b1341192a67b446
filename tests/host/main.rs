//! The real filter.wasm in a proxy-wasm host: virtual time, and every hostcall answers what a test wants.
//!
//! What is real: the module that ships, callback by callback. What is played: Envoy (`trimtab-wasmhost` says how it behaves),
//! the aggregator and the upstreams. `cargo xtask test --only host` builds the module and runs these.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on says why"
)]

mod adoption;
mod bodies;
mod configure;
mod cost;
mod faults;
mod first;
mod headers;
mod holding;
mod in_flight;
mod lease;
mod live;
mod moved;
mod news;
mod pair;
mod placement;
mod reports;
mod seen;
mod storm;
mod support;
mod tables;
mod workers;
