//! Formats the results of `trimtab sim --json` as a table for README.md.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Columns: the name of a rule, and its title.
const COLUMNS: [(&str, &str); 5] = [
    ("oracle", "oracle"),
    ("round_robin", "round robin"),
    ("least_request", "least request"),
    ("epp_central_inflight", "EPP central + in-flight"),
    ("trimtab", "**trimtab**"),
];

/// Returns a table with a row per scenario and load, and a cell per rule. A cell has the mean p99
/// of the time to first token in seconds, and the mean share in SLO.
pub(super) fn comparison(json: &str) -> Result<String> {
    let value: Value = serde_json::from_str(json).context("the results are not JSON")?;
    let runs = value["runs"]
        .as_array()
        .context("the results have no runs")?;
    let mut rows: Vec<(&str, f64)> = Vec::new();
    for run in runs {
        let row = place(run).context("a run has no scenario or load")?;
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut out = String::from("p99 TTFT in s / % of requests in SLO:\n\n| workload, load |");
    for (_, title) in COLUMNS {
        // Writing to a String cannot fail.
        let _ = write!(out, " {title} |");
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(COLUMNS.len()));
    out.push('\n');
    for row in rows {
        let _ = write!(out, "| {}, {:.0} % |", row.0, row.1 * 100.0);
        for (policy, _) in COLUMNS {
            let cell: Vec<&Value> = runs
                .iter()
                .filter(|run| place(run) == Some(row) && run["policy"] == policy)
                .collect();
            let _ = write!(out, " {} |", shown(&cell));
        }
        out.push('\n');
    }
    Ok(out)
}

fn place(run: &Value) -> Option<(&str, f64)> {
    Some((run["scenario"].as_str()?, run["load"].as_f64()?))
}

/// Returns the cell of a rule's runs at one load. `-` if there are none, `never` if the p99 of a
/// run is infinite.
fn shown(runs: &[&Value]) -> String {
    let mean = |of: &dyn Fn(&Value) -> Option<f64>| {
        let values: Option<Vec<f64>> = runs.iter().map(|run| of(run)).collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    };
    if runs.is_empty() {
        return "-".to_owned();
    }
    let share = mean(&|run| run["slo_share"].as_f64())
        .map_or_else(|| "-".to_owned(), |share| format!("{:.1}", share * 100.0));
    match mean(&|run| run["ttft_s"]["p99"].as_f64()) {
        Some(p99) if p99 < 1.0 => format!("{p99:.3} / {share}"),
        Some(p99) => format!("{p99:.2} / {share}"),
        None => format!("never / {share}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_is_the_mean_over_seeds_and_what_did_not_run_is_a_dash() {
        let run = |policy: &str, seed: u64, p99: Value| {
            json!({"scenario": "rag", "load": 0.85, "policy": policy, "seed": seed,
                "ttft_s": {"p99": p99}, "slo_share": 0.9})
        };
        let runs = json!({"runs": [
            run("oracle", 1, json!(0.5)), run("oracle", 2, json!(0.7)),
            run("trimtab", 1, json!(2.0)), run("round_robin", 1, Value::Null),
        ]});
        let table = comparison(&runs.to_string()).unwrap();
        let last = table.lines().last().unwrap();
        assert_eq!(
            last,
            "| rag, 85 % | 0.600 / 90.0 | never / 90.0 | - | - | 2.00 / 90.0 |"
        );
        assert!(comparison("{}").is_err());
    }
}
