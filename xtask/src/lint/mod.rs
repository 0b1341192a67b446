//! `cargo xtask lint`: what a reviewer should not have to look for.

mod files;
mod licences;

use anyhow::Result;

use crate::run;
use crate::tools::wasm_target::{self, Toolchain};

/// Runs every check; the first that fails ends it.
pub(crate) fn lint() -> Result<()> {
    run::step("fmt", "formatting", || {
        run::run(run::cargo("fmt").args(["--all", "--check"]))
    })?;
    run::step("files", "file sizes", files::check)?;
    run::step(
        "licences",
        "licences and sources of dependencies",
        licences::check,
    )?;
    run::step("clippy", "lints, warnings are errors", || {
        run::run(run::cargo("clippy").args([
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    if let Toolchain::Rustup = wasm_target::obtain()? {
        // The file that calls the host exists only there. Debian's rustc comes without clippy; its build still compiles it.
        run::step(
            "clippy wasm32",
            "lints of what only the wasm module has",
            || {
                run::run(Toolchain::Rustup.cargo("clippy").args([
                    "--quiet",
                    "--package",
                    "trimtab-filter",
                    "--lib",
                    "--",
                    "-D",
                    "warnings",
                ]))
            },
        )?;
    } else {
        eprintln!(
            "    clippy does not see the host calls of the filter: Debian's rustc has no clippy for wasm32"
        );
    }
    run::step("doc", "documentation, warnings are errors", || {
        run::run(
            run::cargo("doc")
                .args([
                    "--quiet",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })
}
