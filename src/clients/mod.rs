//! `trimtab bench-clients` runs two lanes under a public load generator, inference-perf.
//!
//! It takes arguments and a Python with inference-perf, and writes a table, `results.json` and
//! every report. It leaves no process behind. It treats both lanes equally. Its times come from
//! inference-perf, not from the project's own client.

mod args;
mod azure;
mod config;
mod dose;
mod fleet;
mod generator;
mod lane;
mod outcome;
mod policy;
mod results;
mod round;
mod shape;
mod table;
mod workload;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

pub use args::Args;

use crate::process::find_envoy;
use generator::Generator;
use lane::{Lane, Programs};
use policy::POLICIES;
use results::{Measured, Results};
use round::Bench;
use workload::Workload;

/// Runs the benchmark to its end, or until Ctrl-C or SIGTERM.
///
/// # Errors
/// Something cannot be started (the message says what to do), a round has no report, or the run was
/// interrupted.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        // When one branch ends, the other is dropped with every process that it started.
        tokio::select! {
            result = measure(args) => result,
            _ = tokio::signal::ctrl_c() => bail!("interrupted; everything that the benchmark started has ended"),
            _ = terminated.recv() => bail!("terminated; everything that the benchmark started has ended"),
        }
    })
}

async fn measure(args: &Args) -> Result<()> {
    let out = prepared(&args.out)?;
    let programs = programs(args)?;
    let generator = Generator::find(&args.python, &out)?;
    let mut results = Results::new(args, &generator.version);
    let chosen = |workload: &Workload| {
        args.only.is_empty() || args.only.iter().any(|name| name == workload.name)
    };
    let bench = Bench {
        args,
        generator,
        out: out.clone(),
    };
    let workloads: Vec<Workload> = Workload::all().into_iter().filter(chosen).collect();
    let (count, mut failed) = (workloads.len(), 0);
    for (place, workload) in workloads.into_iter().enumerate() {
        println!(
            "[{}/{count}] {}: {}",
            place + 1,
            workload.name,
            workload.about
        );
        match one(&bench, &programs, &workload).await {
            Ok(measured) => results.workloads.push(measured),
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error:#}", workload.name);
            }
        }
        // Written after each workload, so that an interrupted run leaves results.
        table::write(&results, &out)?;
    }
    print!("\n{}", table::markdown(&results));
    println!("reports and logs: {}", out.display());
    if args.record {
        record(args, &results)?;
    }
    ensure!(
        failed == 0,
        "{failed} of {count} workloads could not be measured"
    );
    Ok(())
}

/// Starts both lanes afresh and runs the warm-up and the rounds.
async fn one(bench: &Bench<'_>, programs: &Programs, workload: &Workload) -> Result<Measured> {
    let mut lanes = Vec::new();
    for policy in POLICIES {
        let dir = bench.out.join(workload.name).join(policy.name());
        let lane = Lane::start(policy, programs, &dir).await;
        lanes.push(lane.with_context(|| format!("cannot start the lane {}", policy.name()))?);
    }
    bench.rounds(workload, &lanes).await
}

/// Creates the folder, without the files of an earlier run. Empties only folders that an earlier
/// run made.
fn prepared(out: &Path) -> Result<PathBuf> {
    const MARK: &str = "trimtab-bench-clients";
    let out = std::path::absolute(out)
        .with_context(|| format!("cannot tell where {} is", out.display()))?;
    if out.exists() {
        ensure!(
            out.join(MARK).is_file()
                || std::fs::read_dir(&out).is_ok_and(|mut dir| dir.next().is_none()),
            "{} holds something else than results of this benchmark: name another --out",
            out.display()
        );
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    std::fs::write(out.join(MARK), "")
        .with_context(|| format!("cannot write into {}", out.display()))?;
    Ok(out)
}

fn programs(args: &Args) -> Result<Programs> {
    ensure!(
        args.filter.is_file(),
        "there is no filter at {}: build it with `cargo xtask wasm`, or name it with --filter",
        args.filter.display()
    );
    Ok(Programs {
        trimtab: std::env::current_exe().context("cannot tell where this program is")?,
        envoy: find_envoy()?,
        filter: std::path::absolute(&args.filter).context("cannot tell where the filter is")?,
    })
}

fn record(args: &Args, results: &Results) -> Result<()> {
    let dir = args.record_dir.as_deref().context(
        "--record: into which folder? `cargo xtask bench clients` sets TRIMTAB_RECORD_DIR",
    )?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    table::write_as(results, &dir.join("clients.json"), &dir.join("clients.md"))?;
    println!("recorded in {}", dir.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_an_earlier_run_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        for _ in 0..2 {
            let made = prepared(&out).unwrap();
            std::fs::write(made.join("old"), "").unwrap();
        }
        assert!(!prepared(&out).unwrap().join("old").exists());
        let other = dir.path().join("mine");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("thesis"), "").unwrap();
        assert!(prepared(&other).is_err());
        assert!(other.join("thesis").is_file());
    }
}
