//! The pure crates as wasm32 in Node: what the filter computes in a proxy is what the native tests saw.

use std::env;

use anyhow::{Context as _, Result, bail};

use super::outcome::{self, Outcome};
use crate::tools;

/// Packages whose unit tests also run as wasm32.
const PACKAGES: [&str; 3] = ["trimtab-pick", "trimtab-loadtable", "trimtab-estimate"];

/// Runs them, one by one, so that a package whose wasm tests vanish is noticed.
pub(crate) fn run(filter: Option<&str>) -> Result<Outcome> {
    let toolchain = tools::wasm_target::obtain()?;
    let runner = tools::bindgen::obtain()?;
    let node = tools::node::obtain()?;
    let folder = node.parent().context("node has no folder")?.to_owned();
    let rest = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(folder).chain(env::split_paths(&rest)))?;
    let mut total = Outcome::default();
    for package in PACKAGES {
        println!("--- {package} as wasm32");
        // `--lib`: the other targets of these packages are native, and rustdoc may be of another version.
        let mut command = toolchain.cargo("test");
        command
            .args(["--quiet", "--lib", "--package", package])
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", &runner)
            .env("PATH", &path);
        if let Some(filter) = filter {
            command.arg("--").arg(filter);
        }
        let outcome = outcome::observe(package, &mut command)?;
        if outcome.passed + outcome.failed == 0 && filter.is_none() {
            bail!("{package} has no test as wasm32");
        }
        total.add(outcome);
    }
    Ok(total)
}
