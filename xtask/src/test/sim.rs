//! Tier `sim`: runs every scenario of benches/scenarios in short, and compares it with its bands.

use anyhow::Result;

use super::outcome::{self, Outcome};
use crate::run;

/// Builds only the simulator, optimised. Without optimisation it takes many times as long. Building
/// the whole command line takes longer than this tier takes to run.
pub(super) fn scenarios(filter: Option<&str>) -> Result<Outcome> {
    let mut command = run::cargo("test");
    command.args([
        "--release",
        "--package",
        "trimtab-sim",
        "--test",
        "scenarios",
        "--",
    ]);
    outcome::observe("sim/scenarios", command.args(filter))
}
