//! `cargo xtask lint`: checks what a reviewer should not have to look for.

mod architecture;
mod circles;
mod documents;
mod files;
mod licences;

use anyhow::{Result, bail};

use crate::tools::wasm_target::{self, Toolchain};
use crate::{docs, project, run};

type Check = fn() -> Result<()>;

/// Runs every check, also after one has failed, so that one run shows everything.
pub(crate) fn lint() -> Result<()> {
    let checks: [(&str, &str, Check); 11] = [
        ("fmt", "formatting", fmt),
        ("files", "sizes of files, widths of comments", files::check),
        (
            "architecture",
            "who knows whom, and no clock in the pure crates",
            architecture::check,
        ),
        (
            "circles",
            "no files that know each other in a circle",
            circles::check,
        ),
        (
            "licences",
            "licences and sources of dependencies",
            licences::check,
        ),
        (
            "documents",
            "what the documents name exists",
            documents::check,
        ),
        (
            "generated",
            "generated documents are those of the records and the code",
            docs::check,
        ),
        ("clippy", "lints, warnings are errors", clippy),
        (
            "clippy wasm32",
            "lints of what only the wasm module has",
            clippy_wasm,
        ),
        ("fuzz", "fuzz targets compile", fuzz),
        ("doc", "documentation, warnings are errors", doc),
    ];
    let mut failed = Vec::new();
    for (name, why, check) in checks {
        if let Err(error) = run::step(name, why, check) {
            eprintln!("{error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint: {} failed", failed.join(", "));
    }
    Ok(())
}

fn fmt() -> Result<()> {
    run::run(run::cargo("fmt").args(["--all", "--check"]))?;
    // The fuzz targets are a workspace of their own.
    run::run(run::cargo("fmt").args(["--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy() -> Result<()> {
    run::run(run::cargo("clippy").args([
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Checks the filter for wasm32, because only there the file that calls the host is compiled.
/// Debian's rustc comes without clippy, so there only the compiler's own warnings count.
fn clippy_wasm() -> Result<()> {
    let (toolchain, dir) = (wasm_target::obtain()?, project::wasm_target_dir());
    let package = ["--quiet", "--package", "trimtab-filter", "--lib"];
    match toolchain {
        Toolchain::Rustup => run::run(
            toolchain
                .cargo("clippy", &dir)
                .args(package)
                .args(["--", "-D", "warnings"]),
        ),
        Toolchain::Debian { .. } => run::run(
            toolchain
                .cargo("check", &dir)
                .args(package)
                .env("RUSTFLAGS", "-D warnings"),
        ),
    }
}

/// Compiles the fuzz targets, which are a workspace of their own and are not part of any other
/// check. `cargo check` needs neither a nightly compiler nor the fuzzer's own C++ library: with any
/// path for the library, cargo does not build it.
fn fuzz() -> Result<()> {
    let root = project::root();
    let mut command = run::cargo("check");
    command.args(["--quiet", "--manifest-path"]);
    command.arg(root.join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(root.join("target/fuzz"));
    run::run(
        command
            .env("CUSTOM_LIBFUZZER_PATH", "/not/linked/libfuzzer.a")
            .env("RUSTFLAGS", "-D warnings"),
    )
}

fn doc() -> Result<()> {
    let mut command = run::cargo("doc");
    command.args([
        "--quiet",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    run::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
