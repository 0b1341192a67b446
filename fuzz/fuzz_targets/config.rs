//! Fuzzes plugin configurations: a good one that is changed in any way, and any text. Each must be
//! read or refused.
#![no_main]

#[path = "../../filter/tests/configuration/mutated.rs"]
mod mutated;

use libfuzzer_sys::fuzz_target;
use trimtab_filter::Config;

fuzz_target!(|bytes: &[u8]| {
    let _ = Config::parse(bytes);
    if let Err(problems) = Config::read(&mutated::value(bytes)) {
        assert!(!problems.is_empty());
    }
});
