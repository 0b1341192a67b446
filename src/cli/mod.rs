//! The command line: names the subcommands and runs the code of each.

mod check;
mod doctor;
mod fetch;
mod pools;
mod sim;
mod table;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Exit status of a command that failed, or that found something wrong (`check`, `sim --expect`).
const FAILED: u8 = 1;

/// Inference-aware load balancing inside stock Envoy and Istio proxies.
///
/// An aggregator scrapes model servers and publishes a load table. A Wasm filter in each proxy
/// reads the table and names the server of each completion request.
#[derive(Debug, Parser)]
#[command(name = "trimtab", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  trimtab demo                              three load balancers side by side on simulated servers
  trimtab table http://127.0.0.1:9190       what an aggregator publishes now
  trimtab check deploy/envoy/envoy.yaml     every problem of configurations, before they are applied
  kubectl kustomize istio | trimtab doctor -  what is wrong in the manifests of a mesh
  trimtab sim benches/scenarios/rag.toml    rules of choice against each other, in virtual time

Environment:
  RUST_LOG    what is logged to standard error, e.g. debug or trimtab=debug (the aggregator has --log)

Exit status: 0 done; 1 failed, or check, doctor or sim found problems; 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(crate::demo::Args),
    Proxy(crate::proxy::Args),
    Table(table::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    Sim(Box<sim::Args>),
    Aggregator(trimtab_aggregator::cli::Args),
    ModelServer(trimtab_modelserver::cli::Args),
    // For `cargo xtask bench clients`, which prepares what this command needs.
    #[command(hide = true)]
    BenchClients(crate::clients::Args),
}

/// Parses the process's arguments, runs the subcommand, and prints an error to standard error.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(args);
    match &cli.command {
        // The aggregator sets up its own log.
        Command::Aggregator(_) => {}
        Command::Proxy(_) | Command::ModelServer(_) => start_log("info"),
        _ => start_log("warn"),
    }
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trimtab: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => crate::demo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::BenchClients(args) => crate::clients::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Proxy(args) => on_runtime(crate::proxy::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Table(args) => table::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Aggregator(args) => trimtab_aggregator::cli::run(args).map(|()| ExitCode::SUCCESS),
        Command::ModelServer(args) => {
            on_runtime(async { Ok(trimtab_modelserver::cli::run(args).await?) })
                .map(|()| ExitCode::SUCCESS)
        }
    }
}

fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(work)
}

/// Logs to standard error, so that standard output holds results alone.
fn start_log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // An existing log stays in place.
    let _second = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_flag_and_help_text_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_it_does() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
