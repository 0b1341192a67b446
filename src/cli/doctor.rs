//! `trimtab doctor` finds what is wrong with Trimtab in the manifests of a mesh.

mod finding;
mod plugin;
mod resource;
mod rules;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use trimtab_aggregator::yaml::MAX_FILE_BYTES;

use finding::{Finding, Level};
use resource::Resource;

/// Most bytes of standard input.
const STDIN_MAX: u64 = 64 << 20;
/// Most levels of folders.
const DEEPEST: usize = 20;

/// Find what is wrong with Trimtab in the manifests of an Istio mesh.
///
/// Reads objects of Kubernetes, as files, folders of them, or what kubectl prints. Looks at the
/// plugins (WasmPlugin, TrafficExtension, EnvoyFilter) and at what is there of Services,
/// DestinationRules, Sidecars, Gateways and AuthorizationPolicies. An object that is not in the
/// input is not judged. Each finding has a remedy and a place in the documents.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Files or folders with YAML or JSON; `-` is standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// How findings are printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Lines for people
    Text,
    /// One object
    Json,
}

const AFTER_HELP: &str = "\
Examples:
  kubectl kustomize istio | trimtab doctor -
  kubectl get wasmplugin,trafficextension,envoyfilter,service,destinationrule,sidecar -A -o yaml | trimtab doctor -
  trimtab doctor manifests/ -o json

Exit status: 0 nothing is wrong, though there may be warnings; 1 something is, or the input holds no plugin of Trimtab.";

/// Reads everything, and prints the findings.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut resources = Vec::new();
    for path in &args.paths {
        if path == Path::new("-") {
            let text = whole(std::io::stdin().lock(), STDIN_MAX)?;
            resources.extend(resource::read("standard input", &text)?);
        } else {
            read(path, DEEPEST, &mut resources)?;
        }
    }
    let plugins = plugin::all(&resources);
    if plugins.is_empty() {
        bail!(
            "none of {} object(s) is a plugin of Trimtab; give the output of `kubectl kustomize istio` or the like",
            resources.len()
        );
    }
    let findings = rules::examine(&resources, &plugins);
    let errors = findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .count();
    match args.output {
        Output::Text => print_text(&findings, plugins.len(), errors),
        Output::Json => println!(
            "{}",
            json!({"plugins": plugins.len(), "findings": findings})
        ),
    }
    Ok(if errors > 0 {
        ExitCode::from(super::FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

fn print_text(findings: &[Finding], plugins: usize, errors: usize) {
    for finding in findings {
        println!("{finding}");
    }
    println!(
        "{plugins} plugin(s): {errors} error(s), {} warning(s)",
        findings.len() - errors
    );
}

/// Reads all of standard input, which may have this many bytes.
fn whole(input: impl Read, most: u64) -> Result<String> {
    let mut bytes = Vec::new();
    let size = input
        .take(most + 1)
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    if u64::try_from(size)? > most {
        bail!("standard input has more than {most} bytes; give files, each is read alone");
    }
    String::from_utf8(bytes).context("standard input is not UTF-8")
}

/// Reads a file, or each file of a folder.
fn read(path: &Path, deepest: usize, into: &mut Vec<Resource>) -> Result<()> {
    let shown = path.display();
    if !path.is_dir() {
        let size = std::fs::metadata(path)
            .with_context(|| format!("cannot read {shown}"))?
            .len();
        if size > MAX_FILE_BYTES {
            bail!("{shown} has {size} bytes, at most {MAX_FILE_BYTES} are read");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        into.extend(resource::read(&shown.to_string(), &text)?);
        return Ok(());
    }
    if path.join("kustomization.yaml").is_file() {
        bail!("{shown} is to be rendered first: kubectl kustomize {shown} | trimtab doctor -");
    }
    if deepest == 0 {
        bail!("{shown}: folders are nested too deep");
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {shown}"))?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        let extension = entry.extension().and_then(|text| text.to_str());
        if entry.is_dir() || matches!(extension, Some("yaml" | "yml" | "json")) {
            read(&entry, deepest - 1, into)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
