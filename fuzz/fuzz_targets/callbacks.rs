//! Any callbacks in any order with any answers of the host, on the filter that `cargo xtask wasm` has built and `TRIMTAB_FILTER` names.
#![no_main]

#[path = "../../tests/host/storm/bytes.rs"]
mod bytes;
#[path = "../../tests/host/storm/chain.rs"]
mod chain;
#[path = "../../tests/host/storm/driver.rs"]
mod driver;
#[path = "../../tests/host/storm/faults.rs"]
mod faults;
#[path = "../../tests/host/storm/forms.rs"]
mod forms;
#[path = "../../tests/host/storm/requests.rs"]
mod requests;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use trimtab_wasmhost::{Limits, Module};

fuzz_target!(|input: &[u8]| {
    static MODULE: OnceLock<Module> = OnceLock::new();
    let module = MODULE.get_or_init(|| {
        let path = std::env::var_os("TRIMTAB_FILTER").expect("TRIMTAB_FILTER names filter.wasm");
        Module::from_file(path, Limits::default()).expect("the filter loads")
    });
    let Some((form, bytes)) = input.split_first() else {
        return;
    };
    let forms = forms::forms();
    let form = &forms[usize::from(*form) % forms.len()];
    if let Err(broken) = driver::run(module, form, bytes) {
        panic!("{}: {broken}", form.name);
    }
});
