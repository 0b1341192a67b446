//! `cargo xtask wasm`: builds target/trimtab/filter.wasm, optimised, pruned and checked against
//! `filter/abi.json`.
//!
//! Two more files lie in the same folder:
//!
//! - `filter.names.wasm`: the same with the names of its functions, to find the place of a trap.
//! - `pick.wasm`: the same with only the callbacks that the role pick needs.

mod abi;
mod merge;
mod prune;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::tools::wasm_target;
use crate::{project, run};

use abi::Abi;
use prune::Names;

/// Largest module that is allowed. Every proxy of a mesh fetches and compiles it.
const SIZE_MAX_BYTES: usize = 450 * 1024;

/// Builds the module, always, so that nobody can test or ship a stale one. Returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let toolchain = wasm_target::obtain()?;
    let dir = project::filter_target_dir();
    run::step(
        "wasm",
        &format!("build the filter with {}", toolchain.describe()),
        || {
            // `cargo rustc --crate-type` is needed, because the package is also an rlib for its
            // native tests. An rlib would prevent link-time optimisation.
            let mut cargo = toolchain.cargo("rustc", &dir);
            run::run(cargo.args([
                "--package",
                "trimtab-filter",
                "--lib",
                "--crate-type",
                "cdylib",
                "--profile",
                "wasm",
            ]))
        },
    )?;
    let built = dir
        .join(wasm_target::TARGET)
        .join("wasm/trimtab_filter.wasm");
    let filter = project::filter();
    run::step(
        "wasm",
        "prune exports, check size, imports and exports",
        || {
            let abi = Abi::read(&project::root().join("filter/abi.json"))?;
            let before = std::fs::read(&built)
                .with_context(|| format!("cannot read {}", built.display()))?;
            let after = prune::prune(&before, &abi, Names::Dropped)?;
            eprintln!(
                "    {} bytes as built, {} bytes pruned: {}",
                before.len(),
                after.len(),
                filter.display()
            );
            if after.len() > SIZE_MAX_BYTES {
                bail!(
                    "the module has {} bytes, the limit is {SIZE_MAX_BYTES}",
                    after.len()
                );
            }
            let pick = Abi {
                exports: abi.pick_exports.clone(),
                ..abi.clone()
            };
            let pick = prune::prune(&before, &pick, Names::Dropped)?;
            write(&filter.with_file_name("pick.wasm"), &pick)?;
            let named = prune::prune(&before, &abi, Names::Kept)?;
            write(&filter.with_file_name("filter.names.wasm"), &named)?;
            write(&filter, &after)
        },
    )?;
    Ok(filter)
}

/// A module that a benchmark runs or compares with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest {
    pub(crate) package: &'static str,
    pub(crate) example: &'static str,
}

/// The guest of benches/vm.rs.
pub(crate) const VM_GUEST: Guest = Guest {
    package: "trimtab-loadtable",
    example: "vm_guest",
};
/// The guest of benches/envoy_overhead.
pub(crate) const FLOOR: Guest = Guest {
    package: "trimtab-filter",
    example: "floor",
};
/// The other half of a pair, for benches/envoy_overhead.
pub(crate) const FLOOR_PICK: Guest = Guest {
    package: "trimtab-filter",
    example: "floor_pick",
};

/// Builds a guest with the filter's profile, in a folder of its own, as [`build`] does. Returns its
/// path.
pub(crate) fn build_guest(guest: Guest) -> Result<PathBuf> {
    let Guest { package, example } = guest;
    let toolchain = wasm_target::obtain()?;
    let dir = project::root().join("target/trimtab/vm");
    let why = format!("build {example} with {}", toolchain.describe());
    run::step("wasm", &why, || {
        let mut cargo = toolchain.cargo("build", &dir);
        let guest = ["--package", package, "--example", example];
        run::run(cargo.args(guest).args(["--profile", "wasm"]))
    })?;
    let target = dir.join(wasm_target::TARGET);
    Ok(target.join(format!("wasm/examples/{example}.wasm")))
}

/// Writes a sibling file and renames it. A proxy that loads the file at this time sees the old or
/// the new module, never a part of one.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let partial = path.with_extension("wasm.partial");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}
