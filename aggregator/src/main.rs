//! `trimtab-aggregator`: see [`trimtab_aggregator`].

use clap::Parser;
use std::process::ExitCode;

/// Scrape model servers and publish the load table that Trimtab's filter reads.
#[derive(Debug, Parser)]
#[command(name = "trimtab-aggregator", version)]
struct Cli {
    #[command(flatten)]
    args: trimtab_aggregator::cli::Args,
}

fn main() -> ExitCode {
    match trimtab_aggregator::cli::run(Cli::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trimtab-aggregator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
