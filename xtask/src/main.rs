//! `cargo xtask`: every task of the workspace that needs more than one cargo command, in Rust and
//! with tests.
//!
//! - **Comes in:** a command (`cargo xtask --help`).
//! - **Goes out:** built and checked artefacts, tools in the user's cache folder, and one line per
//!   step with its result and duration.
//! - **Never:** a tool that is installed into the project, a skipped tier.

mod bench;
mod demo;
mod dist;
mod fuzz;
mod lint;
mod project;
mod run;
mod test;
mod tools;
mod versions;
mod wasm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Build, prove and show Trimtab", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything and run `trimtab demo` beside a real Envoy (arguments are passed on; try
    /// `-- --help`)
    Demo {
        /// Arguments of `trimtab demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Every tier: lint, wasm, unit and property, wasm in Node, simulated scenarios, fuzzing, wasm
    /// host, real Envoy, clients
    Test(test::Args),
    /// Build, prune and check the filter: target/trimtab/filter.wasm
    Wasm,
    /// Build the images of the aggregator and of the filter, without a container engine:
    /// target/trimtab/images, OCI layouts
    Dist,
    /// Formatting, clippy, documentation, file sizes, licences
    Lint,
    /// Benchmarks, against an optimised build; `bench sim` simulates every scenario of
    /// benches/scenarios; `bench soak` is the soak tests, 10 minutes each; `bench clients` compares
    /// two lanes under inference-perf (`-- clients --help`)
    Bench {
        /// Arguments of `cargo bench`, or `sim` and arguments of `trimtab sim`, or `soak`,
        /// `--for 10m`, and part of a test's name, or `clients` and its own
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Fuzz what reads bytes from outside, and the decision: libFuzzer on the targets of fuzz/
    Fuzz(fuzz::Args),
    /// Obtain tools that the other commands need, and list where they are; each command also
    /// obtains what it needs by itself
    Tools {
        /// Which; all of them when none is named
        #[arg(value_enum)]
        tools: Vec<tools::Tool>,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The error is not returned from main, because that would print a backtrace of this
            // program, which helps nobody.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo { args } => demo::demo(&args),
        Command::Test(args) => test::test(&args),
        Command::Wasm => wasm::build().map(drop),
        Command::Dist => dist::dist(),
        Command::Lint => lint::lint(),
        Command::Bench { args } => bench::bench(&args),
        Command::Fuzz(args) => fuzz::fuzz(&args),
        Command::Tools { tools } => tools::obtain(&tools),
    }
}
