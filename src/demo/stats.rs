//! Computes the figures of a lane from its records.

use std::collections::BTreeMap;

use serde::Serialize;
use trimtab_modelserver::Profile;

use crate::load::Record;

/// Longest time per output token of a request in SLO.
pub(crate) const SLO_TPOT_S: f64 = 0.075;
/// Longest time to first token of a request in SLO with an empty prompt.
const SLO_TTFT_BASE_S: f64 = 0.5;
/// Added to that limit: this many times the request's own prefill time.
const SLO_TTFT_FACTOR: f64 = 2.0;

/// Percentiles of one distribution in milliseconds; absent if nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// The figures of one lane over the measured part of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LaneFigures {
    /// Requests that were scheduled in the measured window and sent, including failed ones.
    pub(crate) requests: usize,
    /// The failed ones among them.
    pub(crate) errors: usize,
    /// Requests that were scheduled in the window and never sent, because the lane was too far
    /// behind.
    pub(crate) skipped: usize,
    pub(crate) errors_by_kind: BTreeMap<String, usize>,
    pub(crate) ttft_ms: Percentiles,
    pub(crate) tpot_ms: Percentiles,
    /// Share of all requests that met both targets. Requests that failed or were never sent meet
    /// none.
    pub(crate) slo_share: f64,
    /// Cached share of all prompt tokens.
    pub(crate) prefix_hit_ratio: f64,
    /// Number of requests by the server that answered.
    pub(crate) per_endpoint: BTreeMap<String, usize>,
    /// Times to first token, sorted, for the plot.
    #[serde(skip)]
    pub(crate) ttft_s: Vec<f64>,
}

/// Returns the value at share `q` of a sorted list, by nearest rank: the smallest value for which
/// at least this share of the values is not larger.
pub(crate) fn percentile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied()
}

/// Sorts the finite values and drops the others.
pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

impl Percentiles {
    fn of(sorted_s: &[f64]) -> Self {
        let ms = |q| percentile(sorted_s, q).map(|s| (s * 1e6).round() / 1e3);
        Self {
            p50: ms(0.50),
            p90: ms(0.90),
            p99: ms(0.99),
        }
    }
}

/// Returns the seconds in which an idle server of this profile prefills a prompt without cached
/// tokens.
pub(crate) fn prefill_s(profile: &Profile, tokens: f64) -> f64 {
    let steps = (tokens / f64::from(profile.max_batched_tokens))
        .ceil()
        .max(1.0);
    let attention = 1.0 + tokens / 2.0 / profile.attention_half_tokens;
    (steps * profile.step_base_s + tokens * profile.prefill_s_per_token * attention) / profile.speed
}

/// Returns whether a request met its targets: TTFT <= 0.5 s + 2 x its own prefill time, and TPOT <=
/// 75 ms. The prefill time is that of a fast, empty server with nothing cached. It is the same in
/// every lane, whatever the lane's hit rate.
pub(crate) fn in_slo(record: &Record, fast: &Profile) -> bool {
    let limit_s =
        SLO_TTFT_BASE_S + SLO_TTFT_FACTOR * prefill_s(fast, f64::from(record.prompt_tokens));
    record.failure.is_none()
        && record.ttft_s.is_some_and(|ttft| ttft <= limit_s)
        && record.tpot_s.is_none_or(|tpot| tpot <= SLO_TPOT_S)
}

/// Divides; 0 if `whole` is not positive.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl LaneFigures {
    /// Computes the figures of the requests *scheduled* in a window, which are the same in every
    /// lane.
    ///
    /// - `records`: all records of the lane.
    /// - `skipped`: number of requests that were scheduled in the window and never sent.
    /// - `window`: begin and end in seconds after the start.
    /// - `fast`: profile of a fast server, for the SLO.
    /// - `name`: turns a server's address into the key of [`Self::per_endpoint`].
    pub(crate) fn of(
        records: &[Record],
        skipped: usize,
        window: (f64, f64),
        fast: &Profile,
        name: impl Fn(&str) -> String,
    ) -> Self {
        let measured: Vec<&Record> = records
            .iter()
            .filter(|r| (window.0..window.1).contains(&r.scheduled_s))
            .collect();
        let mut errors_by_kind = BTreeMap::new();
        let mut per_endpoint = BTreeMap::new();
        for record in &measured {
            if let Some(failure) = &record.failure {
                *errors_by_kind.entry(failure.label()).or_default() += 1;
            }
            if let Some(endpoint) = &record.endpoint {
                *per_endpoint.entry(name(endpoint)).or_default() += 1;
            }
        }
        let ttft_s = sorted(measured.iter().filter_map(|r| r.ttft_s));
        let tokens =
            |of: fn(&Record) -> u32| measured.iter().map(|r| f64::from(of(r))).sum::<f64>();
        let kept = measured
            .iter()
            .filter(|record| in_slo(record, fast))
            .count();
        Self {
            requests: measured.len(),
            errors: errors_by_kind.values().sum(),
            skipped,
            errors_by_kind,
            ttft_ms: Percentiles::of(&ttft_s),
            tpot_ms: Percentiles::of(&sorted(measured.iter().filter_map(|r| r.tpot_s))),
            slo_share: ratio(kept as f64, (measured.len() + skipped) as f64),
            prefix_hit_ratio: ratio(tokens(|r| r.cached_tokens), tokens(|r| r.prompt_tokens)),
            per_endpoint,
            ttft_s,
        }
    }
}

/// Returns median and p99 of how late requests were sent, in milliseconds. This delay is the
/// client's, not the servers'.
pub(crate) fn lateness_ms<'a>(records: impl Iterator<Item = &'a Record>) -> (f64, f64) {
    let late = sorted(records.map(|record| (record.sent_s - record.due_s).max(0.0) * 1e3));
    (
        percentile(&late, 0.5).unwrap_or(0.0),
        percentile(&late, 0.99).unwrap_or(0.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Failure;

    fn record(due_s: f64, ttft_s: f64, cached_tokens: u32) -> Record {
        Record {
            session: 0,
            turn: 0,
            family: "chat".into(),
            scheduled_s: due_s,
            due_s,
            sent_s: due_s + 0.002,
            ttft_s: Some(ttft_s),
            tpot_s: Some(0.02),
            prompt_tokens: 100,
            cached_tokens,
            output_tokens: 10,
            endpoint: Some("127.0.0.1:1".to_owned()),
            decision: None,
            failure: None,
        }
    }

    fn fast() -> Profile {
        Profile::named("a100").unwrap()
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let at = |q| percentile(&values, q).unwrap();
        assert_eq!(
            (at(0.0), at(0.5), at(0.9), at(0.99), at(1.0)),
            (1.0, 100.0, 180.0, 198.0, 200.0)
        );
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn only_the_window_counts_and_a_failed_request_is_out_of_slo() {
        let mut failed = record(12.0, 0.1, 0);
        failed.failure = Some(Failure::Status(503));
        let records = [
            record(9.9, 9.0, 0),
            record(10.0, 0.1, 50),
            failed,
            record(19.9, 5.0, 0),
            record(20.0, 9.0, 0),
        ];
        let lane = LaneFigures::of(&records, 0, (10.0, 20.0), &fast(), str::to_owned);
        assert_eq!((lane.requests, lane.errors), (3, 1));
        assert_eq!(lane.errors_by_kind.get("status_503"), Some(&1));
        assert!((lane.slo_share - 1.0 / 3.0).abs() < 1e-9);
        assert!((lane.prefix_hit_ratio - 50.0 / 300.0).abs() < 1e-9);
        assert_eq!(lane.ttft_ms.p99, Some(5_000.0));
        assert_eq!(lane.per_endpoint.get("127.0.0.1:1"), Some(&3));
    }

    #[test]
    fn the_ttft_target_grows_with_the_prompt_and_a_slow_stream_misses() {
        let mut long = record(0.0, 1.5, 0);
        assert!(!in_slo(&long, &fast()));
        long.prompt_tokens = 10_000;
        assert!(in_slo(&long, &fast()));
        long.tpot_s = Some(0.08);
        assert!(!in_slo(&long, &fast()));
    }
}
