//! `cargo xtask fuzz`: runs libFuzzer on the targets of fuzz/, with the stable compiler.
//!
//! The compiler's own flags (those of cargo-fuzz) instrument the coverage. Only the address
//! sanitizer would need a nightly compiler. It would find little in crates that forbid unsafe code.
//! Inputs that reach new code stay in target/fuzz/corpus, and the next run starts from them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::{project, run, tools};

/// The compiler flags of cargo-fuzz without a sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";
/// Longest input in bytes.
const MAX_BYTES: &str = "16384";
/// Seconds for one input. An input that takes longer counts as a finding.
const INPUT_LIMIT_S: &str = "10";
/// Memory limit of a target in MB.
const MEMORY_MB: &str = "2048";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names of targets: files of fuzz/fuzz_targets without their endings. Without a name: all
    targets: Vec<String>,
    /// Time that each target runs, as 60s or 10m
    #[arg(long = "for", default_value = "60s", value_parser = run::seconds)]
    seconds: u64,
}

/// Runs the targets. Fails if one has found something.
pub(crate) fn fuzz(args: &Args) -> Result<()> {
    let all = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!(
            "{unknown}: no target of that name; there are {}",
            all.join(", ")
        );
    }
    let wanted = |name: &String| args.targets.is_empty() || args.targets.contains(name);
    let chosen: Vec<_> = all.into_iter().filter(wanted).collect();
    let broken = run_all(&chosen, args.seconds)?;
    if !broken.is_empty() {
        bail!("{} found something, see above", broken.join(", "));
    }
    Ok(())
}

/// Returns the names of all targets, in order.
pub(crate) fn targets() -> Result<Vec<String>> {
    let dir = project::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?
    {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Builds the targets and runs each for `seconds`, as many at once as there are processors. Returns
/// the names of those that found something.
pub(crate) fn run_all(targets: &[String], seconds: u64) -> Result<Vec<String>> {
    tools::cxx::obtain()?;
    let programs = run::step("fuzz", "build the targets", build)?;
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let (queue, broken) = (
        Mutex::new(VecDeque::from(targets.to_vec())),
        Mutex::default(),
    );
    let next = || queue.lock().ok()?.pop_front();
    thread::scope(|scope| {
        let work = || {
            while let Some(name) = next() {
                let done = run_one(&name, &programs.join(&name), seconds);
                if let (Err(error), Ok(mut broken)) = (done, broken.lock()) {
                    println!("fuzz {name}: {error:#}");
                    let broken: &mut Vec<String> = &mut broken;
                    broken.push(name);
                }
            }
        };
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    let mut broken = broken.into_inner().unwrap_or_default();
    broken.sort();
    Ok(broken)
}

/// Builds all targets. Returns their folder.
fn build() -> Result<PathBuf> {
    let host = host()?;
    let dir = project::root().join("target/fuzz");
    let mut command = run::cargo("build");
    command.args([
        "--quiet",
        "--release",
        "--bins",
        "--target",
        &host,
        "--manifest-path",
    ]);
    command.arg(project::root().join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(&dir);
    run::run(command.env("RUSTFLAGS", FLAGS))?;
    Ok(dir.join(host).join("release"))
}

/// Returns the compiler's own platform. If cargo gets it as a target, the flags do not reach build
/// scripts and macros, which link without the fuzzer.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = run::output(Command::new(rustc).arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Runs one target, with its output in a file. Prints one line about what it reached, or the end of
/// the output of a finding.
fn run_one(name: &str, program: &Path, seconds: u64) -> Result<()> {
    let dir = project::root().join("target/fuzz");
    let (corpus, finds) = (dir.join("corpus").join(name), dir.join("finds").join(name));
    for dir in [&corpus, &finds] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let log = dir.join(format!("{name}.log"));
    let output =
        std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .args([
            format!("-max_len={MAX_BYTES}"),
            format!("-timeout={INPUT_LIMIT_S}"),
        ])
        .args([
            format!("-rss_limit_mb={MEMORY_MB}"),
            "-print_final_stats=1".into(),
        ])
        .arg(format!("-artifact_prefix={}/", finds.display()));
    let dictionary = project::root().join(format!("fuzz/dictionaries/{name}.txt"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let status = command
        .arg(&corpus)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        let lines: Vec<_> = said.lines().collect();
        let end = lines.len().saturating_sub(40);
        println!("{}", lines.get(end..).unwrap_or_default().join("\n"));
        bail!(
            "ended with {status}; its input is in {}, all it said in {}",
            finds.display(),
            log.display()
        );
    }
    println!("fuzz {name}: nothing found; {}", reached(&said));
    Ok(())
}

/// Returns how far a run got, from libFuzzer's output.
fn reached(said: &str) -> String {
    let last = said.lines().rev().find(|line| line.contains(" cov: "));
    let number = |key: &str| {
        let (_, rest) = last?.split_once(key)?;
        rest.split_whitespace().next()
    };
    let units = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    format!(
        "{} inputs, {} edges, {} inputs kept",
        units.map_or("?", str::trim),
        number(" cov: ").unwrap_or("?"),
        number(" corp: ")
            .and_then(|corp| corp.split('/').next())
            .unwrap_or("?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_run_came_is_read_from_its_last_lines() {
        let said = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #99\tREDUCE cov: 2120 ft: 9000 corp: 310/12Kb lim: 400 exec/s: 9 rss: 99Mb L: 3/40 MS: 1 EraseBytes-\n\
            Done 100 runs in 2 second(s)\nstat::number_of_executed_units: 100\n";
        assert_eq!(reached(said), "100 inputs, 2120 edges, 310 inputs kept");
        assert_eq!(reached(""), "? inputs, ? edges, ? inputs kept");
    }

    #[test]
    fn every_target_of_the_manifest_has_a_file_and_the_reverse() {
        let manifest = std::fs::read_to_string(project::root().join("fuzz/Cargo.toml")).unwrap();
        let bins = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
        let mut named: Vec<_> = bins.filter_map(|rest| rest.strip_suffix(".rs\"")).collect();
        named.sort_unstable();
        assert_eq!(targets().unwrap(), named);
    }
}
