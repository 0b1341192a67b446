//! Runs inference-perf. Only its reports are used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::Child;

const RUN: &str = include_str!("../../benches/clients/run.py");
const TOKENIZER: &str = include_str!("../../benches/clients/tokenizer.py");

/// Time for the start, the report, and the answers that are under way after the last request.
/// inference-perf itself gives up on a request after 120 s.
const BESIDE_THE_LOAD: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(100);
/// Number of lines of its log in an error message.
const LOG_LINES: usize = 25;

/// An installed inference-perf, its scripts and a tokenizer.
#[derive(Debug)]
pub(super) struct Generator {
    python: PathBuf,
    run: PathBuf,
    /// Folder of a tokenizer that needs no network.
    pub(super) tokenizer: PathBuf,
    /// Version of inference-perf, for example `0.7.0`.
    pub(super) version: String,
}

impl Generator {
    /// Asks `python` for the version of inference-perf, and writes the scripts and the tokenizer
    /// into `dir`.
    pub(super) fn find(python: &Path, dir: &Path) -> Result<Self> {
        ensure!(
            python.is_file(),
            "there is no Python at {}: `cargo xtask bench clients` makes one with inference-perf",
            python.display()
        );
        let ask = "import importlib.metadata as m; print(m.version('inference-perf'))";
        let version = output(Command::new(python).args(["-c", ask]))
            .with_context(|| format!("{} has no inference-perf", python.display()))?;
        let (run, make, tokenizer) = (
            dir.join("run.py"),
            dir.join("tokenizer.py"),
            dir.join("tokenizer"),
        );
        for (file, text) in [(&run, RUN), (&make, TOKENIZER)] {
            std::fs::write(file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        output(Command::new(python).arg(&make).arg(&tokenizer))
            .context("cannot make the tokenizer")?;
        Ok(Self {
            python: python.to_owned(),
            run,
            tokenizer,
            version: version.trim().to_owned(),
        })
    }

    /// Runs inference-perf to its end with the configuration in `file`. Its log goes beside that
    /// file.
    pub(super) async fn run(&self, file: &Path, sending: Duration) -> Result<()> {
        let log = file.with_extension("log");
        let mut command = Command::new(&self.python);
        command.arg(&self.run).arg("--config_file").arg(file);
        command.args(["--log-level", "WARNING"]);
        // The tokenizer is a folder, so nothing needs the network.
        command
            .env("HF_HUB_OFFLINE", "1")
            .env("TRANSFORMERS_OFFLINE", "1");
        let mut child = Child::spawn("inference-perf", &command, &log)?;
        let start = Instant::now();
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(
                    "inference-perf ended with {status}; the end of {}:\n{}",
                    log.display(),
                    child.log_tail(LOG_LINES)
                ),
                None if start.elapsed() > sending + BESIDE_THE_LOAD => bail!(
                    "inference-perf has not ended {BESIDE_THE_LOAD:?} after it should have sent everything; the end of {}:\n{}",
                    log.display(),
                    child.log_tail(LOG_LINES)
                ),
                None => tokio::time::sleep(POLL).await,
            }
        }
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_without_the_generator_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let none = Generator::find(Path::new("/no/such/python"), dir.path()).unwrap_err();
        assert!(format!("{none:#}").contains("/no/such/python"));
        let other = Generator::find(Path::new("/bin/false"), dir.path()).unwrap_err();
        assert!(format!("{other:#}").contains("/bin/false has no inference-perf"));
    }
}
