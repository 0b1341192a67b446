//! Builds the aggregator as one static program, for an image without anything else.
//!
//! It is linked with the C library of this machine (`crt-static` of the usual target), not with
//! musl: the standard library for musl is there only where rustup has a network, while this target
//! is there wherever Rust is. Since 2.34 glibc resolves names without libraries that are loaded
//! later.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{project, run};

/// Name of the program.
pub(super) const NAME: &str = "trimtab-aggregator";

/// Separates the flags in `CARGO_ENCODED_RUSTFLAGS`, so that paths may have spaces.
const SEPARATOR: &str = "\x1f";

/// Builds the program with this profile of Cargo.toml. Returns its path.
pub(super) fn build(profile: &str) -> Result<PathBuf> {
    let target = host()?;
    if !target.ends_with("-linux-gnu") {
        bail!("{target}: images are built on Linux with glibc");
    }
    need_static_glibc()?;
    let dir = project::root().join("target/trimtab/dist");
    run::step("dist", "build the aggregator, static", || {
        let mut cargo = run::cargo("build");
        cargo.args(["--package", NAME, "--bin", NAME, "--profile", profile]);
        // With a target, build scripts and macros are built without the flags. They cannot be
        // static.
        cargo.args(["--locked", "--target", &target, "--target-dir"]);
        cargo.arg(&dir).env_remove("RUSTFLAGS");
        run::run(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags()?.join(SEPARATOR)))
    })?;
    Ok(dir.join(target).join(profile).join(NAME))
}

/// Returns the compiler's flags: static, and without the names of this machine's folders, which
/// messages of panics would have.
fn flags() -> Result<Vec<String>> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    Ok(vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Clink-arg=-Wl,--build-id=none".to_owned(),
        // Else it looks the function up by name, which a static program cannot, and opens a device.
        "--cfg=getrandom_backend=\"linux_getrandom\"".to_owned(),
        remap(project::root(), "/trimtab"),
        remap(&cargo_home()?, "/cargo"),
    ])
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = run::output(Command::new(rustc).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn need_static_glibc() -> Result<()> {
    let found = run::output(Command::new("cc").arg("-print-file-name=libc.a"))?;
    // The compiler prints the bare name of a file that it does not find.
    if !Path::new(found.trim()).is_absolute() {
        bail!("no static C library (libc.a): install it (Debian: libc6-dev)");
    }
    Ok(())
}
