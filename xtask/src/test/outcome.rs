//! Reads a test program's own report of its results.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::run;

/// Counts over any number of test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
    /// Names of programs or tests that failed.
    pub(crate) broken: Vec<String>,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.broken.extend(other.broken);
    }

    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, the form of libtest and of
    /// wasm-bindgen-test.
    fn from_line(line: &str) -> Option<Self> {
        let (_, counts) = line
            .trim()
            .strip_prefix("test result: ")?
            .split_once(". ")?;
        let count = |what: &str| {
            let part = counts.split(';').find(|part| part.trim().ends_with(what))?;
            part.trim().split(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
            broken: Vec::new(),
        })
    }
}

/// Runs a test program, shows its lines at once, and counts. A program that fails without a failed
/// test of its own (killed, crashed, did not compile) counts as one failure.
pub(crate) fn observe(name: &str, command: &mut Command) -> Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", run::line(command)))?;
    let mut total = Outcome::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if let Some(outcome) = Outcome::from_line(&line) {
                total.add(outcome);
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        total.failed = total.failed.max(1);
        total.broken.push(name.to_owned());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_result_line() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s";
        assert_eq!(
            Outcome::from_line(line),
            Some(Outcome {
                passed: 12,
                failed: 2,
                ignored: 1,
                broken: vec![]
            })
        );
        assert_eq!(Outcome::from_line("test result: ok. x passed"), None);
        assert_eq!(Outcome::from_line("test a ... ok"), None);
    }

    #[test]
    fn a_program_that_dies_counts_as_a_failure_even_when_its_tests_passed() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'; exit 101";
        let outcome = observe("dies", Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(
            outcome,
            Outcome {
                passed: 2,
                failed: 1,
                ignored: 0,
                broken: vec!["dies".to_owned()]
            }
        );
    }
}
