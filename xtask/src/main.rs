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
mod docs;
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
#[command(
    name = "cargo xtask",
    about = "Build, test and demonstrate Trimtab",
    version
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything, and run `trimtab demo` with a real Envoy. `demo -- --help` lists the
    /// arguments
    Demo {
        /// Arguments of `trimtab demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run all tiers of tests, from lints to a real Envoy and a real Kubernetes API server.
    /// tests/README.md describes the tiers
    Test(test::Args),
    /// Build the filter as target/trimtab/filter.wasm, remove what it does not use, and check its
    /// size, exports and imports
    Wasm,
    /// Build the images of the aggregator and of the filter as OCI layouts in
    /// target/trimtab/images. Needs no container engine
    Dist,
    /// Check formatting, clippy, documentation, file sizes, architecture and licences
    Lint,
    /// Write what documents say of measurements, metrics and settings from the records and the
    /// code: docs/results.md, docs/metrics.md, docs/configuration.md, the figures of README.md
    Docs,
    /// Run benchmarks of an optimised build.
    ///
    /// `bench sim` simulates every scenario of benches/scenarios. `bench soak` runs the soak tests,
    /// 10 minutes each. `bench clients` compares two lanes under inference-perf; `bench -- clients
    /// --help` lists its arguments
    Bench {
        /// Arguments of `cargo bench`. After `sim`: arguments of `trimtab sim`. After `soak`:
        /// `--for 10m`, and part of a test's name. After `clients`: its own arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run libFuzzer on the targets of fuzz/: the code that reads bytes from outside, and the
    /// decision
    Fuzz(fuzz::Args),
    /// Obtain the tools that the other commands need, and list where they are. Each command also
    /// obtains its own tools
    Tools {
        /// Names of tools. Without a name: all tools
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
        Command::Docs => docs::docs(),
        Command::Bench { args } => bench::bench(&args),
        Command::Fuzz(args) => fuzz::fuzz(&args),
        Command::Tools { tools } => tools::obtain(&tools),
    }
}
