//! Says how much of a workload a round sends.

use serde_json::{Value, json};
use std::path::Path;

/// Rate, duration and seed of one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dose {
    pub(super) rate: f64,
    pub(super) seconds: u64,
    pub(super) seed: u64,
}

impl Dose {
    /// Returns the number of requests, as inference-perf counts them.
    pub(super) fn requests(self) -> u64 {
        (self.rate * self.seconds as f64) as u64
    }
}

/// Returns a trace's entry in inference-perf's configuration.
pub(super) fn trace(file: &Path) -> Value {
    json!({"file": file, "format": "AzurePublicDataset"})
}
