//! `trimtab sim` compares rules on scenarios in virtual time.
//!
//! It reads scenario files and writes tables, files and verdicts. `trimtab-sim` runs the
//! simulation. That crate uses neither files nor threads; both are here.

mod load;
mod output;
mod pictures;
mod pool;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, bail};
use trimtab_sim::report::{Verdict, table, verdicts};
use trimtab_sim::{Rule, batch, capacity};

use load::Loaded;
use output::Output;
use pool::{Simulate, Task};
use progress::Progress;

/// Simulate fleets in virtual time and compare routing rules.
///
/// A scenario file describes a fleet, the proxies that decide, and the traffic. Each rule runs at
/// each load with each seed, on the same requests. The servers, the load table and the decisions
/// are those of the shipped code. The oracle, which sees everything without delay, always runs
/// beside the other rules. The same file gives the same figures, on any machine and with any number
/// of threads.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Scenario files (TOML)
    #[arg(value_name = "FILE", required_unless_present_any = ["list_rules", "print_example"])]
    files: Vec<PathBuf>,

    /// Run these rules instead of the file's; the oracle is always added
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    rules: Vec<String>,

    /// Offered loads as shares of capacity, instead of the file's; more than one is a sweep
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    loads: Vec<String>,

    /// Number of seeds (5: the seeds 1 to 5), or a list (3,7), instead of the file's
    #[arg(long, value_name = "N|A,B", value_delimiter = ',')]
    seeds: Vec<String>,

    /// Number of proxies that decide, instead of the file's
    #[arg(long, value_name = "N")]
    deciders: Option<u32>,

    /// Override any key of the file: --set tables.scrape_s=0.5 --set fleet.0.count=8. Can be
    /// repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Two seeds and a third of the measured time, to see whether a scenario works
    #[arg(long)]
    quick: bool,

    /// Number of runs at the same time; by default the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    jobs: Option<u16>,

    /// Write the figures of every run as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the figures of every run as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Write pictures into this folder: the distribution of the time to first token at each load,
    /// and the results over the load if there is more than one
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,

    /// Compare the results with the files' `expected` bands; exit status 1 if one is missed
    #[arg(long)]
    expect: bool,

    /// Widen the bands for short runs: 0.5 allows ratios that are half as much again
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, requires = "expect", value_parser = slack)]
    slack: f64,

    /// Check the files and print what would run, without running it
    #[arg(long)]
    check: bool,

    /// List the rules that can be compared
    #[arg(long)]
    list_rules: bool,

    /// Print a scenario with every key explained
    #[arg(long)]
    print_example: bool,
}

const AFTER_HELP: &str = "\
Examples:
  trimtab sim --print-example > mine.toml && trimtab sim mine.toml
  trimtab sim rag.toml --quick --rules trimtab,round_robin       a first look
  trimtab sim rag.toml --loads 0.5,0.6,0.7,0.8,0.9 --svg out     how much more load one rule carries
  trimtab sim rag.toml --deciders 1 --set tables.scrape_s=1      one proxy, old tables
  trimtab sim benches/scenarios/*.toml --expect                  everything the project is held to

Tables go to standard output as soon as a scenario is done, and the files of --json and --csv
are written anew each time, so that what is finished stays when a batch is interrupted.

Exit status: 0 done; 1 a file has a problem, or a band was missed; 2 wrong usage.";

const EXAMPLE: &str = include_str!("sim/example.toml");

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.print_example {
        print!("{EXAMPLE}");
        return Ok(ExitCode::SUCCESS);
    }
    if args.list_rules {
        for rule in Rule::ALL {
            println!("{:<22}{}", rule.as_str(), about(rule));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = load::files(args)?;
    if args.check {
        loaded.iter().for_each(|file| println!("{}", plan(file)));
        return Ok(ExitCode::SUCCESS);
    }
    simulate(args, &loaded, &trimtab_sim::run)
}

/// Runs everything. Prints each scenario when it and those before it are complete.
fn simulate(args: &Args, loaded: &[Loaded], run: &Simulate<'_>) -> Result<ExitCode> {
    let mut tasks = Vec::new();
    for (at, file) in loaded.iter().enumerate() {
        let scenario = &file.document.scenario;
        let jobs = batch::jobs(scenario).into_iter();
        tasks.extend(jobs.map(|job| Task { at, scenario, job }));
    }
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = args.jobs.map_or_else(cores, usize::from);
    let mut progress = Progress::start(&tasks);
    let mut output = Output::new(args, loaded, &tasks);
    let mut tally = Tally::default();
    pool::run(&tasks, threads, run, &mut |task, digest| {
        output.take(task, digest);
        progress.done(task);
        while let Some((file, digests)) = output.next_finished() {
            progress.clear();
            print!("{}", table(digests));
            if args.expect {
                tally.hold(args, file, digests);
            }
            output.write()?;
        }
        Ok(())
    })?;
    progress.clear();
    if !args.expect {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nbands: {} held, {} missed", tally.held, tally.missed);
    if tally.held + tally.missed == 0 {
        bail!("no band was checked: none of the rules that were run has one");
    }
    Ok(match tally.missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(super::FAILED),
    })
}

/// Numbers of held and missed bands.
#[derive(Debug, Default)]
struct Tally {
    held: usize,
    missed: usize,
}

impl Tally {
    fn hold(&mut self, args: &Args, file: &Loaded, digests: &[trimtab_sim::report::Digest]) {
        println!();
        if file.document.expected.is_empty() {
            let name = &file.document.scenario.name;
            println!("{name}: no bands: it is measured and held to nothing");
        }
        for finding in verdicts(&file.document.expected, digests, args.slack) {
            match finding.verdict {
                Verdict::Held => self.held += 1,
                Verdict::Missed => self.missed += 1,
                // The rule did not run. Either `--rules` left it out, or the file did. Only the
                // second case is a miss, because then the file is wrong.
                Verdict::NotRun => self.missed += usize::from(args.rules.is_empty()),
            }
            println!("{}: {finding}", file.document.scenario.name);
        }
    }
}

/// Returns a line that says what would run.
fn plan(file: &Loaded) -> String {
    let scenario = &file.document.scenario;
    let endpoints: u32 = scenario.fleet.iter().map(|group| group.count).sum();
    format!(
        "{}: fine: {endpoints} endpoints, {} deciders, {:.1} requests/s at load 1; {} rules x {} loads x {} seeds = {} runs of {} s",
        file.path.display(),
        scenario.deciders.count,
        capacity::fleet_requests_per_s(scenario),
        scenario.rules.len(),
        scenario.loads.len(),
        scenario.seeds.len(),
        batch::jobs(scenario).len(),
        scenario.warm_up_s + scenario.measured_s
    )
}

/// Returns a rule's description for the list.
fn about(rule: Rule) -> &'static str {
    match rule {
        Rule::Oracle => "central, no delay, true backlog and caches: the bound",
        Rule::Trimtab => "what ships, in each proxy",
        Rule::RoundRobin => "one after the other, in each proxy",
        Rule::Random => "any, in each proxy",
        Rule::LeastRequest => {
            "less busy of two by own requests, in each proxy (Envoy's LEAST_REQUEST)"
        }
        Rule::PowerOfTwo => "shorter predicted wait of two random rows of the table, in each proxy",
        Rule::EppCentral => "the reference endpoint picker's scorers, central, metrics every 50 ms",
        Rule::EppCentralInFlight => "the same, counting what it sent since its metrics",
        Rule::EppEach => "the reference endpoint picker's scorers on the table, in each proxy",
    }
}

fn slack(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(slack) if (0.0..=10.0).contains(&slack) => Ok(slack),
        _ => Err("is not a number from 0 to 10".to_owned()),
    }
}

#[cfg(test)]
mod tests;
