//! The results of a run, as they are written to files.

use serde::Serialize;

use super::Args;
use super::fleet;
use super::outcome::Outcome;

/// One round in both lanes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Pair {
    pub(super) trimtab: Outcome,
    pub(super) least_request: Outcome,
}

/// The results of one workload.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) streaming: bool,
    /// Whether a turn waits in the client for the answer to the turn before. inference-perf counts
    /// this wait as lateness too.
    pub(super) turns_wait: bool,
    /// Requests per second to each lane.
    pub(super) rate: f64,
    pub(super) seconds: u64,
    /// As a fraction of the fleet's capacity.
    pub(super) load: f64,
    /// Not counted in the table.
    pub(super) warm_up: Option<Pair>,
    pub(super) rounds: Vec<Pair>,
}

/// The results of the whole run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Results {
    pub(super) inference_perf: String,
    pub(super) trimtab: &'static str,
    pub(super) commit: Option<String>,
    pub(super) envoy: Option<String>,
    pub(super) cores: usize,
    /// Whether both lanes were driven at the same time.
    pub(super) together: bool,
    pub(super) seed: u64,
    /// Arguments of `trimtab model-server`, the same in each lane.
    pub(super) servers: String,
    pub(super) workloads: Vec<Measured>,
}

impl Results {
    pub(super) fn new(args: &Args, inference_perf: &str) -> Self {
        // `cargo xtask` sets these variables.
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
