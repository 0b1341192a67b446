//! Formats results as a Markdown table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::fleet;
use super::outcome::{Outcome, Spread};
use super::results::{Measured, Pair, Results};

/// Median lateness of the client. Above it inference-perf's documentation trusts no figure.
const LATE_MS: f64 = 10.0;

/// Columns of times: title, and the value of an outcome.
const TIMES: [(&str, Pick); 5] = [
    ("TTFT mean", |o| Some(o.ttft_ms?.mean)),
    ("TTFT p50", |o| Some(o.ttft_ms?.p50)),
    ("TTFT p99", |o| Some(o.ttft_ms?.p99)),
    ("e2e mean", |o| Some(o.e2e_ms?.mean)),
    ("e2e p99", |o| Some(o.e2e_ms?.p99)),
];

type Pick = fn(&Outcome) -> Option<f64>;

/// Returns a table with a row per workload and lane, and a row with the ratio of the lanes.
pub(super) fn markdown(results: &Results) -> String {
    let mut out = "Times in ms, medians over rounds. Ratio: median of the rounds' ratios, trimtab / LEAST_REQUEST; below 1 trimtab is better.\n\n\
        | workload | lane | requests | failed | TTFT mean | TTFT p50 | TTFT p99 | e2e mean | e2e p99 | to the slow server | to the busiest | cached | client late |\n\
        |---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for workload in &results.workloads {
        let title = format!(
            "{}, {:.1}/s, {:.0} %",
            workload.name,
            workload.rate,
            workload.load * 100.0
        );
        lane(&mut out, &title, "trimtab", workload, |pair| &pair.trimtab);
        lane(&mut out, "", "LEAST_REQUEST", workload, |pair| {
            &pair.least_request
        });
        ratios(&mut out, workload);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\nThe slow server has {:.0} % of the fleet's speed. inference-perf {}, Envoy {}, trimtab {}, {} cores, lanes {}.",
        fleet::slow_share() * 100.0,
        results.inference_perf,
        results.envoy.as_deref().unwrap_or("of unknown version"),
        results.commit.as_deref().unwrap_or(results.trimtab),
        results.cores,
        if results.together {
            "at the same time"
        } else {
            "in turn"
        }
    );
    out
}

fn lane(
    out: &mut String,
    title: &str,
    name: &str,
    workload: &Measured,
    of: impl Fn(&Pair) -> &Outcome,
) {
    let rounds: Vec<&Outcome> = workload.rounds.iter().map(of).collect();
    let sum = |count: fn(&Outcome) -> u64| rounds.iter().map(|o| count(o)).sum::<u64>();
    let over = |pick: Pick| median(rounds.iter().filter_map(|o| pick(o)));
    let _ = write!(
        out,
        "| {title} | {name} | {} | {} |",
        sum(|o| o.requests),
        sum(|o| o.failures)
    );
    for (_, pick) in TIMES {
        let _ = write!(out, " {} |", shown(over(pick)));
    }
    let shares = shares(&rounds);
    let late = rounds
        .iter()
        .filter_map(|o| o.late_ms)
        .max_by(|a, b| a.p50.total_cmp(&b.p50));
    let late = match late {
        Some(_) if workload.turns_wait => "turns wait".to_owned(),
        Some(late) => lateness(late),
        None => "-".to_owned(),
    };
    let _ = writeln!(
        out,
        " {} | {} | {} | {late} |",
        percent(shares.get(fleet::SLOW).copied()),
        percent(shares.values().copied().max_by(f64::total_cmp)),
        percent(over(|o| o.cached_share)),
    );
}

/// Returns each server's share of all sent requests over all rounds; empty if nothing was sent.
fn shares(rounds: &[&Outcome]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (server, count) in rounds.iter().flat_map(|o| &o.sent) {
        *sums.entry(server.clone()).or_insert(0.0) += *count as f64;
    }
    let all: f64 = sums.values().sum();
    if all > 0.0 {
        sums.values_mut().for_each(|sum| *sum /= all);
        sums
    } else {
        BTreeMap::new()
    }
}

fn ratios(out: &mut String, workload: &Measured) {
    out.push_str("| | **ratio** | | |");
    for (_, pick) in TIMES {
        let ratio = median(workload.rounds.iter().filter_map(|pair| {
            let base = pick(&pair.least_request).filter(|base| *base > 0.0)?;
            Some(pick(&pair.trimtab)? / base)
        }));
        let text = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("**{ratio:.2}**"));
        let _ = write!(out, " {text} |");
    }
    out.push_str(" | | | |\n");
}

/// Formats median and p99 of the round with the highest median. Marks a round that cannot be
/// trusted.
fn lateness(late: Spread) -> String {
    let mark = if late.p50 > LATE_MS { " (!)" } else { "" };
    format!("{:.0} / {:.0}{mark}", late.p50, late.p99)
}

fn shown(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Returns the middle value, or the mean of the two middle values.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied();
    match values.len() {
        0 => None,
        count if count % 2 == 1 => at(count / 2),
        count => Some((at(count / 2 - 1)? + at(count / 2)?) / 2.0),
    }
}

/// Writes `results.json` and `results.md` into `dir`.
pub(super) fn write(results: &Results, dir: &Path) -> Result<()> {
    write_as(results, &dir.join("results.json"), &dir.join("results.md"))
}

pub(super) fn write_as(results: &Results, json: &Path, shown: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(results).context("the results have no JSON form")?;
    for (file, text) in [(json, text + "\n"), (shown, markdown(results))] {
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(mean: f64, slow: u64) -> Outcome {
        let spread = Some(Spread {
            mean,
            p50: mean,
            p99: 2.0 * mean,
        });
        Outcome {
            requests: 10,
            failures: 1,
            failed_because: BTreeMap::new(),
            ttft_ms: None,
            e2e_ms: spread,
            late_ms: spread,
            cached_share: None,
            sent: BTreeMap::from([
                (fleet::SLOW.to_owned(), slow),
                ("fast".to_owned(), 10 - slow),
            ]),
            decisions: BTreeMap::new(),
        }
    }

    #[test]
    fn rounds_are_compared_one_by_one_and_requests_added_up() {
        let pair = |ours, plain| Pair {
            trimtab: outcome(ours, 1),
            least_request: outcome(plain, 3),
        };
        let measured = Measured {
            name: "random",
            about: "",
            streaming: false,
            turns_wait: false,
            rate: 12.0,
            seconds: 20,
            load: 0.7,
            warm_up: None,
            rounds: vec![pair(5.0, 10.0), pair(100.0, 100.0), pair(8.0, 100.0)],
        };
        let mut out = String::new();
        lane(&mut out, "random", "trimtab", &measured, |pair| {
            &pair.trimtab
        });
        ratios(&mut out, &measured);
        assert_eq!(
            out,
            "| random | trimtab | 30 | 3 | - | - | - | 8 | 16 | 10.0 % | 90.0 % | - | 100 / 200 (!) |\n\
             | | **ratio** | | | - | - | - | **0.50** | **0.50** | | | | |\n"
        );
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
