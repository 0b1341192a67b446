//! Two lanes under inference-perf: medians over the rounds.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::record::{Record, number};
use super::{head, median, row, thousands};

const COMMAND: &str = "cargo xtask bench clients --record";
const COLUMNS: [(&str, &str); 4] = [
    ("TTFT mean", "ttft_ms/mean"),
    ("TTFT p99", "ttft_ms/p99"),
    ("e2e mean", "e2e_ms/mean"),
    ("e2e p99", "e2e_ms/p99"),
];
const LANES: [&str; 2] = ["trimtab", "least_request"];

pub(super) fn table() -> Result<String> {
    let record = Record::newest("clients")?;
    let mut out = format!(
        "Trimtab / LEAST_REQUEST in ms, medians of the rounds. {}\n\n",
        record.source(COMMAND)
    );
    let titles = COLUMNS.iter().map(|(title, _)| *title);
    let titles: Vec<&str> = std::iter::once("workload")
        .chain(titles)
        .chain(["failed", "to the slow server, %"])
        .collect();
    out.push_str(&head(&titles));
    for workload in record.list("workloads")? {
        let name = workload["name"]
            .as_str()
            .context("a workload has no name")?;
        let rate = number(workload, "rate").context("a workload has no rate")?;
        let rounds = workload["rounds"]
            .as_array()
            .context("a workload has no rounds")?;
        let mut cells = vec![format!("{name}, {rate:.1}/s")];
        for (_, path) in COLUMNS {
            let of = |lane: &str| middle(rounds, |round| number(&round[lane], path));
            let [own, other] = LANES.map(of);
            cells.push(match own.zip(other) {
                Some((own, other)) => format!("**{}** / {}", thousands(own), thousands(other)),
                None => "-".to_owned(),
            });
        }
        let failed = LANES.map(|lane| {
            let failures = rounds
                .iter()
                .filter_map(|round| number(&round[lane], "failures"));
            format!("{:.0}", failures.sum::<f64>())
        });
        cells.push(failed.join(" / "));
        let slow = LANES.map(|lane| {
            let share = middle(rounds, |round| share_of_slow(&round[lane]));
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}", share * 100.0))
        });
        cells.push(slow.join(" / "));
        out.push_str(&row(&cells));
    }
    Ok(out)
}

/// Returns the median over rounds. `None`: a round has no such figure.
fn middle(rounds: &[Value], of: impl Fn(&Value) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = rounds.iter().map(of).collect();
    values.filter(|values| !values.is_empty()).map(median)
}

fn share_of_slow(lane: &Value) -> Option<f64> {
    let sent = lane["sent"].as_object()?;
    let all: f64 = sent.values().filter_map(Value::as_f64).sum();
    Some(sent.get("slow")?.as_f64()? / all)
}
