//! Obtains a toolchain that builds for `wasm32-unknown-unknown`.
//!
//! Where rustup has a network, it adds the target. Machines whose rustup cannot reach its server
//! use Debian's `rustc-web`. That package has the sources of std, from which cargo builds the
//! target's std itself. No `rust-toolchain.toml` names the target: rustup would then try to fetch
//! it at every cargo call, and each call would fail.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{project, run, tools, versions};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Time limit for rustup, which retries for minutes on a network that drops its packets.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);
/// How long a failure of rustup is remembered, so that only the first command of a day waits for
/// it.
const RUSTUP_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// The way to call cargo for the wasm target.
#[derive(Debug, Clone)]
pub(crate) enum Toolchain {
    /// The running toolchain has the target.
    Rustup,
    /// Debian's rustc builds the target's std from source, and links with this linker.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Returns a cargo command for the target that builds into `dir`. It already has the options
    /// that cargo itself needs.
    pub(crate) fn cargo(&self, subcommand: &str, dir: &Path) -> Command {
        let mut command = match self {
            Self::Rustup => run::cargo(subcommand),
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                run::forget_outer_cargo(&mut command);
                command
                    .arg(subcommand)
                    .arg("-Zbuild-std=std,panic_abort")
                    .current_dir(project::root());
                command
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env_remove("RUSTUP_TOOLCHAIN");
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        };
        command.args(["--target", TARGET, "--target-dir"]).arg(dir);
        command
    }

    /// Describes the toolchain in one line for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rustup => format!("rustup's {TARGET}"),
            Self::Debian { linker } => format!(
                "Debian's /usr/bin/rustc, std from source, linker {}",
                linker.display()
            ),
        }
    }
}

/// Finds or installs a toolchain.
pub(crate) fn obtain() -> Result<Toolchain> {
    let sysroot = sysroot()?;
    if has_target(&sysroot) {
        return Ok(Toolchain::Rustup);
    }
    let asked = !recently_refused() && project::on_path("rustup").is_some();
    if asked && add_by_rustup(&sysroot) {
        return Ok(Toolchain::Rustup);
    }
    if !debian_is_complete() {
        install_debian(asked)?;
    }
    let linker = linker(&sysroot)?;
    Ok(Toolchain::Debian { linker })
}

fn sysroot() -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let text = run::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(text.trim()))
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

fn add_by_rustup(sysroot: &Path) -> bool {
    eprintln!(
        "    rustup target add {TARGET} (at most {} s)",
        RUSTUP_LIMIT.as_secs()
    );
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", TARGET])
        .env("RUSTUP_MAX_RETRIES", "1");
    if run::succeeds_within(&mut command, RUSTUP_LIMIT) && has_target(sysroot) {
        return true;
    }
    if let Ok(memo) = memo() {
        // The memo only saves time. Without it the next command asks rustup again.
        let _kept = std::fs::create_dir_all(memo.parent().unwrap_or(&memo))
            .and_then(|()| std::fs::write(&memo, ""));
    }
    false
}

fn memo() -> Result<PathBuf> {
    Ok(project::tools_dir()?.join("rustup-cannot-add-wasm32"))
}

fn recently_refused() -> bool {
    let modified = memo()
        .ok()
        .and_then(|memo| std::fs::metadata(memo).ok()?.modified().ok());
    modified
        .and_then(|at| at.elapsed().ok())
        .is_some_and(|age| age < RUSTUP_MEMORY)
}

fn debian_is_complete() -> bool {
    Path::new("/usr/bin/cargo").is_file()
        && Path::new("/usr/bin/rustc").is_file()
        && Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock").is_file()
}

fn install_debian(asked_rustup: bool) -> Result<()> {
    let packages = versions::DEBIAN_WASM_PACKAGES;
    let manual = format!(
        "install it by hand: `rustup target add {TARGET}`, or on Debian as root `apt-get install {}`",
        packages.join(" ")
    );
    if project::on_path("apt-get").is_none() || !tools::is_root() {
        let tried = if asked_rustup {
            "rustup could not add it"
        } else {
            "rustup is not there or failed lately"
        };
        bail!("no {TARGET} toolchain: {tried}, and this is not Debian as root; {manual}");
    }
    apt_install(packages).context(manual)?;
    if !debian_is_complete() {
        bail!(
            "apt-get installed {} but /usr/bin/rustc, /usr/bin/cargo or the sources of std are missing",
            packages.join(" ")
        );
    }
    Ok(())
}

/// Installs Debian packages without questions.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    run::step(
        "apt-get",
        &format!("install {}", packages.join(" ")),
        || {
            let apt = |args: &[&str]| {
                let mut command = Command::new("apt-get");
                command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
                run::output(&mut command)
            };
            apt(&["update", "-q"])?;
            apt(&[
                &["install", "-q", "-y", "--no-install-recommends"],
                packages,
            ]
            .concat())?;
            Ok(())
        },
    )
}

/// Finds a wasm linker. Debian's package has none on the PATH. rustup's toolchains include one, and
/// so does the package `lld`.
fn linker(sysroot: &Path) -> Result<PathBuf> {
    let hosts = std::fs::read_dir(sysroot.join("lib/rustlib"))
        .into_iter()
        .flatten()
        .flatten();
    let bundled = hosts
        .map(|host| host.path().join("bin/rust-lld"))
        .find(|file| file.is_file());
    bundled
        .or_else(|| project::on_path("rust-lld"))
        .or_else(|| project::on_path("wasm-ld"))
        .with_context(|| format!("no wasm linker: neither rust-lld under {} nor wasm-ld on the PATH (Debian: package lld)", sysroot.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(toolchain: &Toolchain) -> Vec<String> {
        toolchain
            .cargo("build", Path::new("/p/target/wasm32"))
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn both_routes_build_for_wasm32_into_its_own_folder_and_only_debian_builds_std() {
        let rustup = arguments(&Toolchain::Rustup);
        let debian = arguments(&Toolchain::Debian {
            linker: PathBuf::from("/x/rust-lld"),
        });
        for args in [&rustup, &debian] {
            assert_eq!(args.first().map(String::as_str), Some("build"));
            assert!(args.iter().any(|arg| arg == TARGET));
            assert!(args.iter().any(|arg| arg.ends_with("target/wasm32")));
        }
        assert!(!rustup.iter().any(|arg| arg.starts_with("-Zbuild-std")));
        assert!(debian.iter().any(|arg| arg.starts_with("-Zbuild-std")));
    }
}
