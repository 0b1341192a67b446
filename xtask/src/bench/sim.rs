//! `cargo xtask bench sim`: runs every scenario of benches/scenarios with all its rules, and writes
//! a dated record.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::record;
use crate::{docs, project, run};

/// Runs `trimtab sim --expect` over every scenario, records the results and prints the comparison.
/// `args` are passed on. With any argument the record goes to target/bench.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    let mut scenarios = scenarios()?;
    scenarios.extend(recorded()?);
    run::step("trimtab", "build the command line, optimised", build)?;
    let folder = record::folder_for(args.is_empty())?;
    let json = folder.join("sim.json");
    // A file of an interrupted run must not count as this run's result.
    if json.exists() {
        std::fs::remove_file(&json).with_context(|| format!("cannot remove {}", json.display()))?;
    }
    let result = run::step("sim", "simulate every scenario", || {
        let mut command = trimtab();
        command.args(["sim", "--expect", "--json"]).arg(&json);
        command.arg("--csv").arg(folder.join("sim.csv"));
        command.arg("--svg").arg(folder.join("sim"));
        run::run(command.args(args).args(&scenarios))
    });
    let text = match std::fs::read_to_string(&json) {
        Ok(text) => text,
        // The run ended before it wrote a result.
        Err(_) if result.is_err() => return result,
        Err(error) => return Err(error).context(format!("cannot read {}", json.display())),
    };
    let text = with_source(&text);
    std::fs::write(&json, &text).with_context(|| format!("cannot write {}", json.display()))?;
    println!("\n{}", docs::comparison(&text)?);
    println!("recorded in {}", folder.display());
    result
}

/// Adds to a record the commit and the command that it was made by. Its runs stay one a line.
fn with_source(json: &str) -> String {
    let commit = run::commit().unwrap_or_else(|| "not known".to_owned());
    let source = format!(r#"{{"command": "cargo xtask bench sim", "commit": "{commit}", "#);
    match json.strip_prefix('{') {
        Some(rest) => source + rest,
        None => json.to_owned(),
    }
}

/// Returns every scenario by name. Fails if there is none.
pub(crate) fn scenarios() -> Result<Vec<PathBuf>> {
    let folder = project::root().join("benches/scenarios");
    let files = tomls(&folder)?;
    if files.is_empty() {
        bail!("{} has no scenario", folder.display());
    }
    Ok(files)
}

/// Returns the scenarios of published traces. The traces are no part of the repository. Leaves out
/// a scenario whose trace is missing, and prints that.
fn recorded() -> Result<Vec<PathBuf>> {
    let mut files = tomls(&project::root().join("benches/scenarios/traces"))?;
    let mut missing = Vec::new();
    files.retain(|file| match missing_trace(file) {
        Some(trace) => {
            missing.push(format!("  {}: {trace} is missing", file.display()));
            false
        }
        None => true,
    });
    if !missing.is_empty() {
        println!(
            "left out, because their traces are not here (benches/README.md says whence to take them):\n{}",
            missing.join("\n")
        );
    }
    Ok(files)
}

/// Returns the trace that a scenario names, if the trace is missing. `trimtab sim` reports anything
/// else that is wrong with the file.
fn missing_trace(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with("trace = "))?;
    let trace = file.parent()?.join(line.split('"').nth(1)?);
    (!trace.is_file()).then(|| trace.display().to_string())
}

fn tomls(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    Ok(files)
}

/// Builds the program of [`trimtab`].
pub(crate) fn build() -> Result<()> {
    run::run(run::cargo("build").args(["--release", "--package", "trimtab", "--bins"]))
}

/// Returns a command for the optimised command line, to which arguments can be added. It goes
/// through cargo, which knows the program's place.
pub(crate) fn trimtab() -> std::process::Command {
    let mut command = run::cargo("run");
    command.args(["--release", "--quiet", "--package", "trimtab", "--"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_of_the_study_and_those_of_mixed_work_are_there() {
        let names: Vec<_> = scenarios()
            .unwrap()
            .iter()
            .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
            .collect();
        assert!(names.len() >= 37, "{names:?}");
        for name in [
            "rag",
            "rag-het",
            "longmix-burst",
            "lora",
            "kv-limited",
            "sysg-text",
            "sysg-own",
            "agent-text",
            "multi-text",
            "demo",
            "mix-2",
            "mix-32",
            "churn-drain",
        ] {
            assert!(names.iter().any(|found| found == name), "{name}");
        }
    }

    #[test]
    fn a_scenario_whose_trace_is_missing_is_told_from_one_whose_trace_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let _trace = write("here.csv", "a");
        let here = write("a.toml", "[workload]\ntrace = \"here.csv\"\n");
        let gone = write("b.toml", "[workload]\ntrace = \"gone.csv\"\n");
        let drawn = write("c.toml", "[workload]\nfamily = \"chat\"\n");
        assert_eq!((missing_trace(&here), missing_trace(&drawn)), (None, None));
        assert!(missing_trace(&gone).unwrap().ends_with("gone.csv"));
    }
}
