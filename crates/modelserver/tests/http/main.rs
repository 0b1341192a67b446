//! A real server over real sockets, and a bare HTTP client.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod adapters;
mod answers;
mod lifetime;
mod metrics;
mod refusals;
mod responses;
mod rig;
