//! `wasm-bindgen-test-runner`, in exactly the version of `wasm-bindgen` in Cargo.lock, because the
//! two share a private format.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{project, run};

/// Returns the runner from the cache folder. Builds it there first if necessary (minutes, once per
/// version).
pub(crate) fn obtain() -> Result<PathBuf> {
    let version = project::locked_version("wasm-bindgen")?;
    let dir = project::tools_dir()?.join(format!("wasm-bindgen-cli-{version}"));
    let runner = dir.join("bin/wasm-bindgen-test-runner");
    if !dir.is_dir() {
        run::step(
            "wasm-bindgen-cli",
            &format!("build {version} into {} (minutes, once)", dir.display()),
            || run::install_dir(&dir, |partial| install(&version, partial)),
        )?;
    }
    if !runner.is_file() {
        bail!(
            "{} has no runner; remove the folder and try again",
            dir.display()
        );
    }
    Ok(runner)
}

fn install(version: &str, root: &Path) -> Result<()> {
    let install = |locked: bool| {
        let mut command = run::cargo("install");
        command.args([
            "--quiet",
            "wasm-bindgen-cli",
            "--bin",
            "wasm-bindgen-test-runner",
            "--version",
            version,
        ]);
        // A folder of its own keeps the cache apart from what else the user has installed.
        command
            .arg("--root")
            .arg(root)
            .env_remove("CARGO_TARGET_DIR");
        run::run(if locked {
            command.arg("--locked")
        } else {
            &mut command
        })
    };
    install(true).or_else(|error| {
        // Mirrors may lack a version that the release's own lock file names. Any compatible
        // versions are good enough for a test runner.
        eprintln!("    with its own lock file: {error:#}; again with compatible versions");
        install(false)
    })
}
