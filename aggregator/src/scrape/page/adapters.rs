//! Reads the names of adapters from a page.

use super::lines::Series;
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};
use trimtab_estimate::Adapters;

/// Returns the adapters that run and wait. The family adds a series per combination and never
/// removes one. A series' value is the time at which it was last true, so the newest counts.
pub(super) fn newest(series: &[Series<'_>]) -> Option<Adapters> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now = now.map_or(f64::INFINITY, |now| now.as_secs_f64());
    let newest = series
        .iter()
        .filter(|series| !series.value.is_nan())
        .max_by(|a, b| one_time(a.value, now).total_cmp(&one_time(b.value, now)))?;
    let names = |label: &str| -> Vec<String> {
        let list = newest.label(label).unwrap_or_default();
        list.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Some(Adapters {
        running: names("running_lora_adapters"),
        waiting: names("waiting_lora_adapters"),
        slots: newest
            .label("max_lora")
            .and_then(|slots| slots.parse().ok()),
        loaded: None,
    })
}

/// Returns the mean of times that several processes added up, as vLLM's do with
/// `--api-server-count`. Only such a sum is 1.5 times `now` or more.
fn one_time(value: f64, now: f64) -> f64 {
    value / (value / now).round().max(1.0)
}

/// Returns the adapters that are loaded on the GPU of any engine. The family has a series per
/// adapter and level.
pub(super) fn loaded<'s, 'p: 's>(series: impl Iterator<Item = &'s Series<'p>>) -> Vec<String> {
    let in_gpu = series.filter(|series| series.value > 0.0 && series.label("level") == Some("gpu"));
    let names: BTreeSet<&str> = in_gpu
        .filter_map(|series| series.label("adapter_name"))
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_times_is_one_time_and_a_time_stays() {
        let now = 1.8e9;
        for (value, expected) in [
            (1.8e9, 1.8e9),
            (1.25e9, 1.25e9),
            (3.6e9, 1.8e9),
            (3.59e9, 1.795e9),
            (8.0 * 1.79e9, 1.79e9),
            (5.0, 5.0),
            (0.0, 0.0),
        ] {
            assert!((one_time(value, now) - expected).abs() < 1e-3, "{value}");
        }
    }
}
