//! Where benchmarks leave their records.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::project;

/// Returns the folder for the records of a run: the one of today, or target/bench for a run that
/// does not measure everything, because its records do not compare with others.
pub(super) fn folder_for(is_whole: bool) -> Result<PathBuf> {
    if !is_whole {
        return Ok(project::root().join("target/bench"));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    Ok(project::root()
        .join("benches/record")
        .join(date(now.as_secs())))
}

/// Returns the day in UTC of a time in seconds after 1970, as `2026-11-23`.
fn date(seconds: u64) -> String {
    // Years begin in March, so that the leap day is the last day of its year (Howard Hinnant,
    // "chrono-compatible low-level date algorithms").
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_known_ones() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_704_067_199, "2023-12-31"),
            (1_704_067_200, "2024-01-01"),
            (1_795_392_000, "2026-11-23"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }
}
