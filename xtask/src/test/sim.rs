//! Tier `sim`: every scenario of benches/scenarios in short, held against its bands.

use anyhow::Result;

use super::outcome::{self, Outcome};
use crate::run;

/// Builds the simulator alone, optimised: without that it takes many times as long, and the command line as a whole takes
/// longer to build than this to run.
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
