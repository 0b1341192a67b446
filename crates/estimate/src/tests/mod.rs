//! The crate from outside. Unit tests and not integration tests, because they also run as wasm32, where only `--lib` does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "a row that is missing fails the test"
)]

mod learning;
mod memory;
mod reports;
mod rows;
