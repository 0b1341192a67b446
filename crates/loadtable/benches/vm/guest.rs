//! The decision and the table as a module for a VM. `cargo xtask bench --bench vm` builds it as it
//! builds the filter, and runs it.

#![allow(
    unsafe_code,
    reason = "an export without a mangled name; nothing in here is unsafe to call"
)]

mod work;

use std::cell::RefCell;

use work::Work;

thread_local! {
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
}

fn with(run: impl FnOnce(&mut Work) -> u32) -> u32 {
    WORK.with_borrow_mut(|work| work.as_mut().map_or(0, run))
}

#[unsafe(no_mangle)]
extern "C" fn prepare(endpoints: u32) {
    WORK.set(Some(Work::new(endpoints)));
}

#[unsafe(no_mangle)]
extern "C" fn choose(times: u32) -> u32 {
    with(|work| work.choose(times))
}

#[unsafe(no_mangle)]
extern "C" fn decode(times: u32) -> u32 {
    with(|work| work.decode(times))
}

#[unsafe(no_mangle)]
extern "C" fn index(times: u32) -> u32 {
    with(|work| work.index(times))
}

#[unsafe(no_mangle)]
extern "C" fn index_anew(times: u32) -> u32 {
    with(|work| work.index_anew(times))
}
