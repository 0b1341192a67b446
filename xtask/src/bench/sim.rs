//! `cargo xtask bench sim`: runs every scenario of benches/scenarios with all its rules, and writes
//! a dated record.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::{docs, project, run};

/// Runs `trimtab sim --expect` over every scenario, records the results and prints the comparison.
/// `args` are passed on. With any argument the record goes to target/bench.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    let mut scenarios = scenarios()?;
    scenarios.extend(recorded()?);
    run::step("trimtab", "build the command line, optimised", build)?;
    let folder = folder_for(args.is_empty())?;
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

/// Returns the folder of records: of today for a run without arguments, else target/bench, because
/// others would not compare with it.
pub(crate) fn folder_for(is_whole: bool) -> Result<PathBuf> {
    match is_whole {
        true => record_folder(),
        false => Ok(project::root().join("target/bench")),
    }
}

/// Returns the folder of today's records.
pub(crate) fn record_folder() -> Result<PathBuf> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    Ok(project::root()
        .join("benches/record")
        .join(date(now.as_secs())))
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

/// Returns the day in UTC of a time in seconds after 1970, as `2026-11-23`.
fn date(seconds: u64) -> String {
    // Years begin in March, so that the leap day is the last day of its year (Howard Hinnant,
    // "chrono-compatible low-level date algorithms").
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_known_ones() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_704_067_199, "2023-12-31"),
            (1_704_067_200, "2024-01-01"),
            (1_795_392_000, "2026-11-23"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }

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
