//! Results for other programs: one row or one object per run.

use std::fmt::Write as _;

use serde_json::{Value, json as object};

use super::{Digest, Percentiles};
use crate::Prediction;

const COLUMNS: &str = "scenario,policy,load,seed,deciders,requests,failed,ttft_p50_s,ttft_p90_s,ttft_p99_s,tpot_p50_s,tpot_p90_s,tpot_p99_s,e2e_mean_s,e2e_p99_s,slo_share,hit_ratio,busiest_ratio,tables_per_s,table_bytes,reports_per_s,table_age_s,after_drain,missed_p50_s,missed_p90_s,missed_share_p50\n";

/// Returns a header line and one row per run. An absent value is empty, an infinite one is `inf`.
#[must_use]
pub fn csv(digests: &[Digest]) -> String {
    let mut out = COLUMNS.to_owned();
    for run in digests {
        // Names hold no comma, as the parser of scenarios ensures. Writing to a String cannot fail.
        let _ = write!(
            out,
            "{},{},{},{},{},{},{}",
            run.scenario,
            run.rule.as_str(),
            run.load,
            run.seed,
            run.deciders,
            run.requests,
            run.failed
        );
        for Percentiles { p50, p90, p99 } in [run.ttft_s, run.tpot_s] {
            for value in [p50, p90, p99] {
                let _ = match value {
                    Some(value) => write!(out, ",{}", rounded(value)),
                    None => write!(out, ","),
                };
            }
        }
        for value in [run.e2e_mean_s, run.e2e_s.p99] {
            let _ = match value {
                Some(value) => write!(out, ",{}", rounded(value)),
                None => write!(out, ","),
            };
        }
        let traffic = run.traffic;
        for value in [
            run.slo_share,
            run.hit_ratio,
            run.busiest_ratio,
            traffic.tables_per_s,
            traffic.table_bytes,
            traffic.reports_per_s,
            traffic.table_age_s,
        ] {
            let _ = write!(out, ",{}", rounded(value));
        }
        let _ = write!(out, ",{}", run.after_drain);
        let Prediction {
            missed_p50_s,
            missed_p90_s,
            missed_share_p50,
        } = run.prediction;
        for value in [missed_p50_s, missed_p90_s, missed_share_p50] {
            let _ = match value {
                Some(value) => write!(out, ",{}", rounded(value)),
                None => write!(out, ","),
            };
        }
        out.push('\n');
    }
    out
}

/// Returns `{"runs": [..]}`, one object per line. Absent and infinite values are null.
#[must_use]
pub fn json(digests: &[Digest]) -> String {
    let runs: Vec<String> = digests.iter().map(|run| one(run).to_string()).collect();
    format!("{{\"runs\": [\n{}\n]}}\n", runs.join(",\n"))
}

fn one(run: &Digest) -> Value {
    let percentiles = |of: Percentiles| {
        let value = |value: Option<f64>| value.map(rounded);
        object!({"p50": value(of.p50), "p90": value(of.p90), "p99": value(of.p99)})
    };
    object!({
        "scenario": run.scenario,
        "policy": run.rule.as_str(),
        "seed": run.seed,
        "deciders": run.deciders,
        "load": run.load,
        "ttft_s": percentiles(run.ttft_s),
        "tpot_s": percentiles(run.tpot_s),
        "e2e_s": percentiles(run.e2e_s),
        "e2e_mean_s": run.e2e_mean_s.map(rounded),
        "slo_share": rounded(run.slo_share),
        "hit_ratio": rounded(run.hit_ratio),
        "requests": run.requests,
        "failed": run.failed,
        "after_drain": run.after_drain,
        "prediction": {
            "missed_p50_s": run.prediction.missed_p50_s.map(rounded),
            "missed_p90_s": run.prediction.missed_p90_s.map(rounded),
            "missed_share_p50": run.prediction.missed_share_p50.map(rounded),
        },
        "busiest_ratio": rounded(run.busiest_ratio),
        "tables_per_s": rounded(run.traffic.tables_per_s),
        "table_bytes": rounded(run.traffic.table_bytes),
        "reports_per_s": rounded(run.traffic.reports_per_s),
        "table_age_s": rounded(run.traffic.table_age_s),
    })
}

/// Rounds to six decimals. Otherwise an `f32` would show meaningless digits.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
