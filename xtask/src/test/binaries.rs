//! Native test programs. They are built together, so that every dependency is built once with one
//! set of features. Then they run one by one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Tier;
use super::network;
use super::outcome::{self, Outcome};
use crate::run;

/// One test program, as cargo built it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// Folder of the package and name of the target, for people.
    name: String,
    /// `test` for integration tests, otherwise `lib`, `bin` and so on.
    kind: String,
    target: String,
    path: PathBuf,
    /// Folder of the package. Tests run there, as under `cargo test`.
    dir: PathBuf,
}

/// Builds all test programs.
pub(crate) fn build() -> Result<Vec<TestBinary>> {
    let mut command = run::cargo("test");
    command.args([
        "--workspace",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    // Diagnostics go to standard error at once.
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", run::line(&command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", run::line(&command), output.status);
    }
    let binaries: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(parse)
        .collect();
    if binaries.is_empty() {
        bail!("cargo built no test program");
    }
    Ok(binaries)
}

/// Reads one of cargo's messages. Returns `None` if it is not about a test program.
fn parse(line: &str) -> Option<TestBinary> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let dir = Path::new(message["manifest_path"].as_str()?)
        .parent()?
        .to_owned();
    let target = message["target"]["name"].as_str()?.to_owned();
    let package = dir.file_name()?.to_string_lossy().into_owned();
    Some(TestBinary {
        name: format!("{package}/{target}"),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        path: PathBuf::from(message["executable"].as_str()?),
        target,
        dir,
    })
}

impl TestBinary {
    /// Returns the tier. An integration test that is named after a tier belongs to it. Every other
    /// test program is a unit test, so none is left out.
    pub(crate) fn tier(&self) -> Tier {
        match (self.kind.as_str(), self.target.as_str()) {
            ("test", "host") => Tier::Host,
            ("test", "envoy") => Tier::Envoy,
            ("test", "clients") => Tier::Clients,
            ("test", "kubernetes") => Tier::Kubernetes,
            ("test", "istio") => Tier::Istio,
            _ => Tier::Unit,
        }
    }

    pub(crate) fn run(
        &self,
        variables: &[(&'static str, OsString)],
        filter: Option<&str>,
    ) -> Result<Outcome> {
        println!("--- {}", self.name);
        let mut command = match self.tier() {
            Tier::Istio => network::command(&self.path),
            _ => Command::new(&self.path),
        };
        run::forget_outer_cargo(&mut command);
        command
            .current_dir(&self.dir)
            .env("CARGO_MANIFEST_DIR", &self.dir)
            .args(filter);
        if self.tier() == Tier::Unit {
            command.arg("--quiet");
        }
        outcome::observe(&self.name, command.envs(variables.iter().cloned()))
    }
}

/// Runs the examples in the documentation. rustdoc builds these itself.
pub(crate) fn documentation_tests() -> Result<Outcome> {
    println!("--- documentation");
    outcome::observe(
        "documentation",
        run::cargo("test").args(["--workspace", "--doc", "--quiet"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(kind: &str, name: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/p/demo/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/t/{name}-1"}}"#
        )
    }

    #[test]
    fn test_programs_are_told_from_other_artefacts_and_sorted_into_tiers() {
        for (kind, name, tier) in [
            ("test", "envoy", Tier::Envoy),
            ("test", "host", Tier::Host),
            ("test", "clients", Tier::Clients),
            ("test", "kubernetes", Tier::Kubernetes),
            ("test", "istio", Tier::Istio),
            ("lib", "envoy", Tier::Unit),
            ("test", "other", Tier::Unit),
        ] {
            let binary = parse(&artifact(kind, name, true)).unwrap();
            assert_eq!(
                (binary.tier(), binary.dir.as_path()),
                (tier, Path::new("/p/demo")),
                "{kind} {name}"
            );
        }
        assert_eq!(parse(&artifact("bin", "trimtab", false)), None);
        assert_eq!(parse("warning: not json"), None);
    }
}
