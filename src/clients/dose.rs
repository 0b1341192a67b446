//! How much of a workload a round sends.

use serde_json::{Value, json};
use std::path::Path;

/// How much a round sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dose {
    pub(super) rate: f64,
    pub(super) seconds: u64,
    pub(super) seed: u64,
}

impl Dose {
    /// Requests, as inference-perf counts them.
    pub(super) fn requests(self) -> u64 {
        (self.rate * self.seconds as f64) as u64
    }
}

/// A trace as inference-perf names it.
pub(super) fn trace(file: &Path) -> Value {
    json!({"file": file, "format": "AzurePublicDataset"})
}
