//! Tests the real filter.wasm in a proxy-wasm host with virtual time. Every hostcall answers what a
//! test wants.
//!
//! Real is the shipped module, callback by callback. Scripted are Envoy (`trimtab-wasmhost`
//! describes its behaviour), the aggregator and the upstreams. `cargo xtask test --only host`
//! builds the module and runs these tests.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on says why"
)]

mod adoption;
mod bodies;
mod clusters;
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
mod pair;
mod pairs;
mod placement;
mod problems;
mod reports;
mod seen;
mod storm;
mod support;
mod tables;
mod urgent;
mod workers;
