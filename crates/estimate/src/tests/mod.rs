//! Tests of the crate from outside. They are unit tests and not integration tests, because they
//! also run as wasm32, where only `--lib` runs.

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

mod adapters;
mod hanging;
mod late;
mod learning;
mod memory;
mod probing;
mod reports;
mod rows;
mod told;

/// Returns numbers below a bound, the same in each run.
pub(crate) fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % bound
    }
}
