//! Tier `node`: the pure crates as wasm32 in Node. Their code in a proxy then does what the native
//! tests saw.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::outcome::{self, Outcome};
use crate::{project, tools};

/// Packages whose unit tests also run as wasm32.
const PACKAGES: [&str; 4] = [
    "trimtab-pick",
    "trimtab-loadtable",
    "trimtab-report",
    "trimtab-estimate",
];

/// Runs the packages one by one, so that a package without wasm tests is noticed.
pub(crate) fn run(filter: Option<&str>) -> Result<Outcome> {
    let (toolchain, dir) = (tools::wasm_target::obtain()?, project::wasm_target_dir());
    let runner = tools::bindgen::obtain()?;
    let node = tools::node::obtain()?;
    let path = path_with(&node)?;
    let mut total = Outcome::default();
    for package in PACKAGES {
        println!("--- {package} as wasm32");
        // `--lib`, because the other targets of these packages are native, and rustdoc may have
        // another version.
        let mut command = toolchain.cargo("test", &dir);
        command
            .args(["--lib", "--package", package])
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

/// Returns the PATH with this Node first, in a folder that has nothing else. Node's own folder may
/// hold another `rustc`.
fn path_with(node: &Path) -> Result<OsString> {
    let folder = project::root().join("target/trimtab/node");
    std::fs::create_dir_all(&folder)?;
    let link = folder.join("node");
    // An earlier run may have left a link to another Node.
    let _absent = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(node, &link)
        .with_context(|| format!("cannot create {}", link.display()))?;
    let rest = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(
        std::iter::once(folder).chain(env::split_paths(&rest)),
    )?)
}
