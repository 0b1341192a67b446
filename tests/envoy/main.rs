//! Tests the filter in a real Envoy, started with `deploy/envoy/envoy.yaml` itself.
//!
//! Real are Envoy, filter.wasm, the configuration and sockets. Model servers and aggregator are
//! scripted where a test must control them. Nothing is scripted in `fleet`. The tests need what
//! `cargo xtask test` provides. Without it every test fails and says so. tests/README.md describes
//! the other tiers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failure here is a failed test"
)]

mod adoption;
mod bodies;
mod callers;
mod clusters;
mod deploy;
mod destinations;
mod endpoints;
mod ends;
mod fleet;
mod forms;
mod gateway;
mod health;
mod idle;
mod in_flight;
mod joining;
mod kept;
mod labels;
mod late_pages;
mod leaving;
mod names;
mod odd;
mod pairs;
mod placement;
mod protocol;
mod refusing;
mod reload;
mod seen;
mod soak;
mod support;
mod sync;
mod tables;
mod trap;
mod two_proxies;
