//! `trimtab check` finds every problem of configuration files before they are applied.

mod chain;
mod destination;
mod document;
mod plugin;
mod pools;
mod rewrite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use trimtab_aggregator::yaml::MAX_FILE_BYTES;

use document::Finding;

/// Most levels of nested objects that are searched. Real configurations need about 25.
const DEEPEST: usize = 100;

/// Check configurations of the aggregator and the filter, and Envoy or Istio YAML that holds the
/// filter's.
///
/// Prints every problem at once, each with its place, the value, the reason and the fix. The keys
/// of a file say what it is: `pools` make it an aggregator's configuration, `endpoints` an
/// aggregator's list of endpoints, `pool` and `aggregator` a filter's configuration. Any other YAML
/// is searched for Wasm plugins, and the configurations of Trimtab's are checked. If it has
/// clusters, the aggregator's cluster must be among them, and something must read the destination
/// from the filter's header. A route must not rewrite a path so that the filter misses completion
/// requests. The order of the filters must work, and routes and clusters should suit long
/// answers.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// YAML or JSON files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  trimtab check aggregator.yaml plugin.json
  trimtab check deploy/envoy/envoy.yaml deploy/envoy/aggregator.yaml deploy/envoy/pool.yaml

Exit status: 0 everything is fine; 1 there are problems, or a file holds nothing to check.";

/// Checks every file, even after one with problems.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut fine = true;
    for file in &args.files {
        fine &= report(file);
    }
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    })
}

fn report(file: &Path) -> bool {
    let shown = file.display();
    if file
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        println!("{shown}: is TOML; scenarios are checked by `trimtab sim --check {shown}`");
        return false;
    }
    let findings = match read(file) {
        Ok(text) => document::check(&text),
        Err(reason) => {
            println!("{shown}: {reason}");
            return false;
        }
    };
    if findings.is_empty() {
        println!(
            "{shown}: holds no configuration of Trimtab: no `pools`, `endpoints` or `pool`, no Wasm plugin of that kind"
        );
        return false;
    }
    for Finding {
        what,
        problems,
        notes,
    } in &findings
    {
        match problems.as_slice() {
            [] => println!("{shown}: {what}: fine"),
            problems => {
                println!("{shown}: {what}: {} problem(s)", problems.len());
                problems.iter().for_each(|problem| println!("  {problem}"));
            }
        }
        notes.iter().for_each(|note| println!("  note: {note}"));
    }
    findings.iter().all(|finding| finding.problems.is_empty())
}

fn read(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file)
        .map_err(|error| format!("cannot be read: {error}"))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(format!(
            "has {size} bytes, at most {MAX_FILE_BYTES} are read"
        ));
    }
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    })
}
