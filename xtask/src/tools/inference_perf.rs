//! Obtains a Python with inference-perf, the load generator of `bench clients`. It is under
//! target/, because nothing else needs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{project, run, versions};

/// Limit for a cold start of an interpreter on a busy machine.
const PROBE_LIMIT: Duration = Duration::from_secs(30);
/// Every package of the environment, with hashes. The head of the file says how to make it.
const REQUIREMENTS: &str = "benches/clients/requirements.txt";

/// Returns the interpreter of an environment with exactly the pinned packages. Makes a new
/// environment when the pins change.
pub(crate) fn obtain() -> Result<PathBuf> {
    let requirements = project::root().join(REQUIREMENTS);
    let pins = std::fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let dir = project::root().join(format!(
        "target/clients/python-{}-{:016x}",
        versions::INFERENCE_PERF,
        fingerprint(&pins)
    ));
    let python = dir.join("bin/python");
    if python.is_file() {
        return Ok(python);
    }
    let base = base()?;
    let why = format!(
        "inference-perf {} and what it needs (800 MB, two minutes) into {}",
        versions::INFERENCE_PERF,
        dir.display()
    );
    run::step("inference-perf", &why, || {
        run::install_dir(&dir, |partial| fill(partial, &base, &requirements))
    })?;
    Ok(python)
}

fn fill(partial: &Path, base: &Path, requirements: &Path) -> Result<()> {
    run::output(Command::new(base).args(["-m", "venv"]).arg(partial)).with_context(|| {
        format!(
            "{} cannot make a virtual environment (Debian: python3-venv)",
            base.display()
        )
    })?;
    // `python -m pip` is needed, because scripts hold the folder's name from before the move.
    let mut pip = Command::new(partial.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]);
    pip.args([
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--requirement",
    ]);
    run::output(pip.arg(requirements)).map(drop).with_context(|| {
        format!("pip cannot install {REQUIREMENTS}; is there a network, and is this Linux on x86_64 or aarch64?")
    })
}

/// Returns the first interpreter that is new enough and can make environments, from `$PYTHON`, the
/// PATH, pyenv or uv.
fn base() -> Result<PathBuf> {
    let (major, minor) = versions::INFERENCE_PERF_PYTHON;
    let mut tried = Vec::new();
    for candidate in candidates() {
        let check =
            format!("import sys, venv, ensurepip; sys.exit(sys.version_info < ({major}, {minor}))");
        // pyenv's shims print much about versions that are not chosen.
        let mut probe = Command::new(&candidate);
        probe.args(["-c", &check]).stderr(Stdio::null());
        if run::succeeds_within(&mut probe, PROBE_LIMIT) {
            return Ok(candidate);
        }
        tried.push(candidate.display().to_string());
    }
    bail!(
        "inference-perf {} needs Python {major}.{minor} or newer with the modules venv and ensurepip; looked at: {}. \
         Install one (pyenv install {major}.{minor}, uv python install {major}.{minor}, or your distribution's) or name one: PYTHON=/path/to/python",
        versions::INFERENCE_PERF,
        if tried.is_empty() {
            "nothing found".to_owned()
        } else {
            tried.join(", ")
        }
    )
}

/// Returns the interpreters that may exist, best first.
fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = env::var_os("PYTHON")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    for name in ["python3.12", "python3.13", "python3.14", "python3"] {
        found.extend(project::all_on_path(name));
    }
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let pyenv = env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    for versions in [pyenv.join("versions"), home.join(".local/share/uv/python")] {
        found.extend(installed(&versions));
    }
    found
}

/// Returns the interpreters in a folder of versions, by name.
fn installed(versions: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path().join("bin/python3"))
        .filter(|python| python.is_file())
        .collect();
    found.sort();
    found
}

/// FNV-1a. It only distinguishes lists of pins.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_pins_are_another_environment() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_ne!(fingerprint(b"a==1"), fingerprint(b"a==2"));
    }

    #[test]
    fn the_pins_are_of_the_version_that_is_named_and_have_hashes() {
        let text = std::fs::read_to_string(project::root().join(REQUIREMENTS)).unwrap();
        let pin = format!("inference-perf=={} ", versions::INFERENCE_PERF);
        assert!(text.lines().any(|line| line.starts_with(&pin)));
        let pins = text.lines().filter(|line| line.contains("==")).count();
        assert!(pins > 20 && text.matches("--hash=sha256:").count() >= pins);
    }

    #[test]
    fn interpreters_are_found_in_a_folder_of_versions() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("3.12.1/bin")).unwrap();
        std::fs::create_dir_all(dir.path().join("broken")).unwrap();
        std::fs::write(dir.path().join("3.12.1/bin/python3"), "").unwrap();
        assert_eq!(
            installed(dir.path()),
            [dir.path().join("3.12.1/bin/python3")]
        );
        assert!(installed(Path::new("/no/such/folder")).is_empty());
    }
}
