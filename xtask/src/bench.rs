//! `cargo xtask bench`: runs the benchmarks with what they need.

mod clients;
mod record;
pub(crate) mod sim;
mod soak;

use anyhow::Result;

use crate::{project, run, tools, wasm};

/// Runs `cargo bench` over the workspace, with filter, guests and Envoy for the benchmarks that
/// measure the real thing. The first argument may choose something else:
///
/// - `sim`: simulates the scenarios.
/// - `soak`: runs the soak tests.
/// - `clients`: drives two lanes with inference-perf.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    match args.split_first() {
        Some((first, rest)) if first == "sim" => return sim::bench(rest),
        Some((first, rest)) if first == "clients" => return clients::clients(rest),
        _ => {}
    }
    wasm::build()?;
    if let Some((first, rest)) = args.split_first()
        && first == "soak"
    {
        return soak::soak(rest);
    }
    let guest = wasm::build_guest(wasm::VM_GUEST)?;
    let floor = wasm::build_guest(wasm::FLOOR)?;
    let floor_pick = wasm::build_guest(wasm::FLOOR_PICK)?;
    let envoy = tools::envoy::obtain()?;
    // Arguments of `cargo bench` select programs. Those after `--` change what a program measures.
    let folder = record::folder_for(!args.iter().any(|arg| arg == "--"))?;
    run::step("bench", "measure, optimised", || {
        let mut command = run::cargo("bench");
        command.arg("--workspace").args(args);
        run::tell_commit(&mut command);
        run::run(
            command
                .env("TRIMTAB_FILTER", project::filter())
                .env(
                    "TRIMTAB_PICK",
                    project::filter().with_file_name("pick.wasm"),
                )
                .env("TRIMTAB_ENVOY_VERSION", &envoy.version)
                .env("TRIMTAB_ENVOY", envoy.path)
                .env("TRIMTAB_RECORD_DIR", folder)
                .env("TRIMTAB_VM_GUEST", guest)
                .env("TRIMTAB_FLOOR", floor)
                .env("TRIMTAB_FLOOR_PICK", floor_pick),
        )
    })
}
