//! Everything that a run found, as files.

use serde::Serialize;

use super::Args;
use super::fleet;
use super::outcome::Outcome;

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
}
