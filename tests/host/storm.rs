//! Makes callbacks in any order, with any answers of the host. `TRIMTAB_STORM=N` begins with seed
//! N.
//!
//! Rejected: a fuzzer that guides these. It could see the host around the module, but not the
//! module.

mod bytes;
pub(crate) mod chain;
mod driver;
mod faults;
mod forms;
mod requests;

use std::time::{Duration, Instant};

use crate::support::module;
use forms::{Form, forms};

/// Longest time for each form.
const TIME: Duration = Duration::from_millis(2_000);
/// Least number of runs of each form in that time.
const LEAST_RUNS: u64 = 3;

/// Returns the bytes of run `seed`, by SplitMix64.
fn bytes(seed: u64) -> Vec<u8> {
    let number = |n: u64| {
        let z = (seed << 32)
            .wrapping_add(n)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let words = 20 + number(1) % 250;
    (2..words).flat_map(|n| number(n).to_le_bytes()).collect()
}

fn look_at(form: &Form) {
    let first = std::env::var("TRIMTAB_STORM").map_or(0, |seed| seed.parse().expect("a number"));
    let filter = module();
    let (start, mut runs) = (Instant::now(), 0);
    let mut sum = driver::Outcome::default();
    for seed in first.. {
        if start.elapsed() > TIME && runs >= LEAST_RUNS {
            break;
        }
        let outcome = driver::run(filter, form, &bytes(seed));
        let outcome = outcome
            .unwrap_or_else(|broken| panic!("{}, TRIMTAB_STORM={seed}: {broken}", form.name));
        runs += 1;
        sum.requests += outcome.requests;
        sum.placed += outcome.placed;
        sum.memory_bytes = sum.memory_bytes.max(outcome.memory_bytes);
    }
    println!("{}: {runs} runs, {sum:?}", form.name);
    let is_observing = form.name.contains("observing");
    assert!(is_observing || sum.placed > 0, "{}: none placed", form.name);
}

#[test]
fn whatever_is_called_in_whatever_order_with_whatever_answers_requests_go_on_and_nothing_is_left() {
    forms().iter().for_each(look_at);
}
