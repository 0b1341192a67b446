//! The demo: the records of all seeds of the newest day.

use anyhow::Result;

use super::super::record::Record;
use super::{head, median, row, shown};

const LANES: [(&str, &str); 3] = [
    ("trimtab", "Trimtab"),
    ("least_request", "LEAST_REQUEST"),
    ("round_robin", "ROUND_ROBIN"),
];
const COMMAND: &str = "cargo xtask demo -- --for 60s --seed N";

/// The same figure of all runs, by lane.
type Lanes = [Vec<f64>; LANES.len()];

fn runs() -> Result<Vec<Record>> {
    let mut runs = Record::newest_all("demo-seed")?;
    // Seeds as numbers: 7 before 11.
    runs.sort_by_key(|run| run.number("seed").unwrap_or_default() as u64);
    Ok(runs)
}

/// Returns a figure of every run in every lane, times `factor`.
fn figures(runs: &[Record], path: &str, factor: f64) -> Result<Lanes> {
    let mut lanes = Lanes::default();
    for (lane, (name, _)) in lanes.iter_mut().zip(LANES) {
        for run in runs {
            lane.push(run.number(&format!("lanes/{name}/{path}"))? * factor);
        }
    }
    Ok(lanes)
}

pub(super) fn table() -> Result<String> {
    let runs = runs()?;
    let columns = [
        figures(&runs, "ttft_ms/p99", 1e-3)?,
        figures(&runs, "slo_share", 100.0)?,
        figures(&runs, "prefix_hit_ratio", 100.0)?,
    ];
    let mut out = String::from("Trimtab / LEAST_REQUEST / ROUND_ROBIN.");
    if let Some(run) = runs.first() {
        out.push(' ');
        out.push_str(&run.source(COMMAND));
    }
    out.push_str("\n\n");
    out.push_str(&head(&[
        "seed",
        "p99 TTFT, s",
        "in SLO, %",
        "prefix hits, %",
    ]));
    for (at, run) in runs.iter().enumerate() {
        let seed = format!("{:.0}", run.number("seed")?);
        let cell = |lanes: &Lanes| of_lanes(lanes, |lane| lane.get(at).copied());
        out.push_str(&row(
            &[vec![seed], columns.iter().map(cell).collect()].concat()
        ));
    }
    let cell =
        |lanes: &Lanes| format!("**{}**", of_lanes(lanes, |lane| Some(median(lane.clone()))));
    let medians = columns.iter().map(cell).collect();
    out.push_str(&row(&[vec!["**median**".to_owned()], medians].concat()));
    Ok(out)
}

fn of_lanes(lanes: &Lanes, of: impl Fn(&Vec<f64>) -> Option<f64>) -> String {
    let cells: Vec<String> = lanes.iter().map(|lane| shown(of(lane))).collect();
    cells.join(" / ")
}

/// Returns the table of README.md: medians over seeds, with their range.
pub(super) fn summary() -> Result<String> {
    let runs = runs()?;
    let titles: Vec<&str> = LANES.iter().map(|(_, title)| *title).collect();
    let mut out = head(&[&["median over seeds (range)"], titles.as_slice()].concat());
    for (title, path, factor, unit) in [
        ("p99 time to first token", "ttft_ms/p99", 1e-3, " s"),
        ("requests in their SLO", "slo_share", 100.0, " %"),
    ] {
        let mut cells = vec![title.to_owned()];
        for (at, lane) in figures(&runs, path, factor)?.into_iter().enumerate() {
            let least = lane.iter().copied().fold(f64::INFINITY, f64::min);
            let most = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let middle = format!("{}{unit}", two_digits(median(lane)));
            let middle = if at == 0 {
                format!("**{middle}**")
            } else {
                middle
            };
            cells.push(format!(
                "{middle} ({} to {})",
                two_digits(least),
                two_digits(most)
            ));
        }
        out.push_str(&row(&cells));
    }
    Ok(out)
}

fn two_digits(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
