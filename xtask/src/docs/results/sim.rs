//! The simulation: every workload, the mean over seeds.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::super::record::{Record, number};
use super::{head, row};

/// Columns: the name of a rule, and its title.
const RULES: [(&str, &str); 5] = [
    ("oracle", "oracle"),
    ("round_robin", "round robin"),
    ("least_request", "least request"),
    ("epp_central_inflight", "central picker"),
    ("trimtab", "**trimtab**"),
];
/// The rows of README.md: a workload, and what it is.
const SHOWN: [(&str, &str); 4] = [
    ("rag", "prompts of 2,500 tokens, nothing shared"),
    ("multi", "conversations"),
    ("agent", "agents"),
    ("sysg500", "500 shared system prompts"),
];
const COMMAND: &str = "cargo xtask bench sim";

/// The runs of one rule under one workload at one load.
struct Runs<'r>(Vec<&'r Value>);

impl<'r> Runs<'r> {
    fn of(all: &'r [Value], (scenario, load): (&str, f64), rule: &str) -> Self {
        let is = |run: &&Value| place(run) == Some((scenario, load)) && run["policy"] == rule;
        Self(all.iter().filter(is).collect())
    }

    /// Returns the mean of a figure. `None`: a run has none.
    fn mean(&self, path: &str) -> Option<f64> {
        let values: Option<Vec<f64>> = self.0.iter().map(|run| number(run, path)).collect();
        let values = values.filter(|values| !values.is_empty())?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Shows the mean p99 of the time to first token.
    fn p99(&self) -> String {
        match self.mean("ttft_s/p99") {
            _ if self.0.is_empty() => "-".to_owned(),
            None => "never".to_owned(),
            Some(p99) if p99 < 10.0 => format!("{p99:.2}"),
            Some(p99) => format!("{p99:.0}"),
        }
    }
}

pub(super) fn table() -> Result<String> {
    let record = Record::newest("sim")?;
    let all = record.list("runs")?;
    let mut out = format!(
        "Mean p99 of the time to first token in s, and % of requests in SLO. *never*: in some run more than one request in a hundred had no first token when it was cut. {}\n\n",
        record.source(COMMAND)
    );
    out.push_str(&rows(all)?);
    Ok(out)
}

/// Returns the table of a record, which is JSON.
pub(crate) fn comparison(record: &str) -> Result<String> {
    let record: Value = serde_json::from_str(record).context("the record is not JSON")?;
    rows(
        record["runs"]
            .as_array()
            .context("the record has no runs")?,
    )
}

/// Returns a table with a row per workload and a cell per rule.
fn rows(all: &[Value]) -> Result<String> {
    let mut out = String::new();
    let titles: Vec<&str> = RULES.iter().map(|(_, title)| *title).collect();
    out.push_str(&head(
        &[&["workload, load"], titles.as_slice(), &["to the oracle"]].concat(),
    ));
    let mut places: Vec<(&str, f64)> = Vec::new();
    for run in all {
        let place = place(run).context("a run has no scenario or load")?;
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for place in places {
        let mut cells = vec![format!("{}, {:.0} %", place.0, place.1 * 100.0)];
        for (rule, _) in RULES {
            let runs = Runs::of(all, place, rule);
            let share = runs.mean("slo_share");
            let share = share.map_or_else(String::new, |share| format!(" / {:.0}", share * 100.0));
            cells.push(runs.p99() + &share);
        }
        let p99 = |rule| Runs::of(all, place, rule).mean("ttft_s/p99");
        let ratio = p99("trimtab").zip(p99("oracle"));
        cells.push(ratio.map_or_else(
            || "-".to_owned(),
            |(own, best)| format!("{:.2}", own / best),
        ));
        out.push_str(&row(&cells));
    }
    Ok(out)
}

/// Returns the workload and the load of a run.
fn place(run: &Value) -> Option<(&str, f64)> {
    Some((run["scenario"].as_str()?, number(run, "load")?))
}

/// Returns the table of README.md.
pub(super) fn summary() -> Result<String> {
    let record = Record::newest("sim")?;
    let all = record.list("runs")?;
    let deciders = all.first().and_then(|run| number(run, "deciders"));
    let deciders = deciders.context("a run has no number of deciders")?;
    let own = format!("Trimtab, {deciders:.0} proxies");
    let mut out = head(&["", "oracle", &own, "central picker", "LEAST_REQUEST"]);
    for (scenario, title) in SHOWN {
        let mut places = all.iter().filter_map(place);
        let place = places.find(|(name, _)| *name == scenario);
        let place = place.with_context(|| format!("the record has no workload {scenario}"))?;
        let p99 = |rule| Runs::of(all, place, rule).p99();
        out.push_str(&row(&[
            title.to_owned(),
            p99("oracle"),
            format!("**{}**", p99("trimtab")),
            p99("epp_central_inflight"),
            p99("least_request"),
        ]));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_means_over_seeds_and_a_run_without_an_end_is_told() {
        let run_at = |load: f64, policy: &str, p99: Value| {
            json!({"scenario": "rag", "load": load, "policy": policy,
                "ttft_s": {"p99": p99}, "slo_share": 0.9})
        };
        let run = |policy: &str, p99: Value| run_at(0.85, policy, p99);
        let runs = json!({"runs": [
            run_at(0.5, "oracle", json!(0.1)),
            run("oracle", json!(0.5)), run("oracle", json!(0.7)),
            run("trimtab", json!(12.0)), run("round_robin", Value::Null),
        ]});
        let table = comparison(&runs.to_string()).unwrap();
        let expected = "| rag, 85 % | 0.60 / 90 | never / 90 | - | - | 12 / 90 | 20.00 |";
        assert_eq!(table.lines().last(), Some(expected));
        assert!(table.contains("| rag, 50 % | 0.10 / 90 | - |"), "{table}");
        assert!(comparison("{}").is_err());
    }
}
