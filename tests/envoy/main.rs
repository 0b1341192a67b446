//! The filter in a real Envoy, started with `deploy/envoy/envoy.yaml` itself.
//!
//! Real: Envoy, filter.wasm, the configuration, sockets. Scripted, where a test must decide what happens: the model servers
//! (they hold or answer when told to) and the aggregator (it publishes what it is told to). `fleet` has nothing scripted.
//! Needs what `cargo xtask test` provides; without it every test fails and says so. tests/README.md has the other tiers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failure here is a failed test"
)]

mod adoption;
mod bodies;
mod deploy;
mod destinations;
mod endpoints;
mod ends;
mod fleet;
mod forms;
mod health;
mod idle;
mod in_flight;
mod joining;
mod kept;
mod late_pages;
mod leaving;
mod odd;
mod placement;
mod protocol;
mod reload;
mod seen;
mod soak;
mod support;
mod sync;
mod tables;
mod trap;
mod two_proxies;
