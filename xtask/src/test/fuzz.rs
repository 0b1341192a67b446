//! Tier `fuzz`: runs every target for a minute.

use anyhow::Result;

use super::outcome::Outcome;
use crate::fuzz;

const SECONDS: u64 = 60;

/// Runs the targets whose name contains `filter`. Each target counts as a test.
pub(super) fn targets(filter: Option<&str>) -> Result<Outcome> {
    let mut targets = fuzz::targets()?;
    targets.retain(|name| filter.is_none_or(|part| name.contains(part)));
    if targets.is_empty() {
        return Ok(Outcome::default());
    }
    let broken = fuzz::run_all(&targets, SECONDS)?;
    let failed = u32::try_from(broken.len())?;
    Ok(Outcome {
        passed: u32::try_from(targets.len())? - failed,
        failed,
        ignored: 0,
        broken,
    })
}
