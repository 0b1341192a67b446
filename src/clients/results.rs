//! Everything that a run found, as files.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Args;
use super::fleet;
use super::outcome::Outcome;
use super::table;

/// A round in both lanes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Pair {
    pub(super) trimtab: Outcome,
    pub(super) least_request: Outcome,
}

/// One workload.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) streaming: bool,
    /// A turn waits in the client for the answer to the one before it, and inference-perf calls that late too.
    pub(super) turns_wait: bool,
    /// Requests per second to each lane.
    pub(super) rate: f64,
    pub(super) seconds: u64,
    /// As a fraction of what the fleet can do.
    pub(super) load: f64,
    /// In no figure of the table.
    pub(super) warm_up: Option<Pair>,
    pub(super) rounds: Vec<Pair>,
}

/// The whole run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Results {
    pub(super) inference_perf: String,
    pub(super) trimtab: &'static str,
    pub(super) commit: Option<String>,
    pub(super) envoy: Option<String>,
    pub(super) cores: usize,
    /// Whether both lanes were driven at the same moment.
    pub(super) together: bool,
    pub(super) seed: u64,
    /// Arguments of `trimtab model-server`, the same in each lane.
    pub(super) servers: String,
    pub(super) workloads: Vec<Measured>,
}

impl Results {
    pub(super) fn new(args: &Args, inference_perf: &str) -> Self {
        // Set by `cargo xtask`, which knows them.
        let told = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            inference_perf: inference_perf.to_owned(),
            trimtab: env!("CARGO_PKG_VERSION"),
            commit: told("TRIMTAB_COMMIT"),
            envoy: told("TRIMTAB_ENVOY_VERSION"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            together: !args.in_turn,
            seed: args.seed,
            servers: fleet::arguments().join(" "),
            workloads: Vec::new(),
        }
    }

    /// `results.json` and `results.md` in `dir`.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        self.write_as(&dir.join("results.json"), &dir.join("results.md"))
    }

    pub(super) fn write_as(&self, json: &Path, markdown: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("the results have no JSON form")?;
        for (file, text) in [(json, text + "\n"), (markdown, table::markdown(self))] {
            std::fs::write(file, text)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}
