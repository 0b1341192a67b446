//! Results as a table for people.

use std::fmt::Write as _;

use super::{Digest, Spread, Summary, summaries};

const COLUMNS: usize = 17;

const TITLES: [&str; COLUMNS] = [
    "rule",
    "TTFT p50 s",
    "p90 s",
    "p99 s",
    "x oracle",
    "TPOT p50 ms",
    "p99 ms",
    "E2E s",
    "p99 s",
    "in SLO %",
    "hits %",
    "busiest",
    "off p50 s",
    "p90 s",
    "off %",
    "tables/s",
    "age s",
];

/// Returns the results of one scenario: a block per load, a row per rule. Cells are means over
/// seeds, with the standard deviation where it is not 0.
///
/// - `x oracle`: p99 of the time to first token divided by the oracle's.
/// - `E2E`: mean time to the last token.
/// - `busiest`: requests of the busiest endpoint divided by the mean.
/// - `off`: absolute error of the predicted time to first token, in seconds and as a share of the
///   seen time.
/// - `age`: mean age of the tables that decisions used.
/// - `never`: in some seed too many requests never got so far.
#[must_use]
pub fn table(digests: &[Digest]) -> String {
    let mut out = String::new();
    let cells = summaries(digests);
    let mut loads: Vec<f64> = cells.iter().map(|cell| cell.load).collect();
    loads.dedup();
    for load in loads {
        let of_load = || digests.iter().filter(|digest| digest.load == load);
        let Some(first) = of_load().next() else {
            continue;
        };
        let seeds = of_load().filter(|digest| digest.rule == first.rule).count();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "\n{}, load {load}, {} deciders, {} requests per run, {seeds} seed(s)\n",
            first.scenario, first.deciders, first.requests
        );
        let rows: Vec<_> = cells
            .iter()
            .filter(|cell| cell.load == load)
            .map(row)
            .collect();
        write_rows(&mut out, &rows);
        let failed: u64 = of_load().map(|digest| digest.failed).sum();
        if failed > 0 {
            let _ = writeln!(out, "{failed} requests ended without all their tokens");
        }
        let late: u64 = of_load().map(|digest| digest.after_drain).sum();
        if late > 0 {
            let _ = writeln!(
                out,
                "{late} requests went after drain to an endpoint that their decider's table had as draining"
            );
        }
    }
    out
}

fn row(cell: &Summary) -> [String; COLUMNS] {
    let [ttft_p50, ttft_p90, ttft_p99] = cell.ttft_s.map(|value| shown(value, 1.0));
    let [missed_p50, missed_p90] = cell.missed_s.map(|value| shown(value, 1.0));
    let [e2e_mean, e2e_p99] = cell.e2e_s.map(|value| shown(value, 1.0));
    let [tpot_p50, tpot_p99] = cell.tpot_s.map(|value| shown(value, 1e3));
    [
        cell.rule.as_str().to_owned(),
        ttft_p50,
        ttft_p90,
        ttft_p99,
        cell.p99_ratio
            .filter(|ratio| ratio.is_finite())
            .map_or_else(dash, |ratio| format!("{ratio:.2}")),
        tpot_p50,
        tpot_p99,
        e2e_mean,
        e2e_p99,
        share(cell.slo_share),
        share(cell.hit_ratio),
        cell.busiest_ratio
            .map_or_else(dash, |ratio| format!("{:.2}", ratio.mean)),
        missed_p50,
        missed_p90,
        share(cell.missed_share),
        cell.tables_per_s
            .map_or_else(dash, |tables| format!("{:.1}", tables.mean)),
        cell.table_age_s
            .map_or_else(dash, |age| format!("{:.3}", age.mean)),
    ]
}

/// Formats mean and deviation, scaled, with about three digits.
fn shown(value: Option<Spread>, scale: f64) -> String {
    let Some(Spread { mean, sd }) = value else {
        return dash();
    };
    if !mean.is_finite() {
        return "never".to_owned();
    }
    let (mean, sd) = (mean * scale, sd * scale);
    let decimals = match mean {
        ..0.9995 => 3,
        0.9995..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    if sd > 0.0 {
        format!("{mean:.decimals$}±{sd:.decimals$}")
    } else {
        format!("{mean:.decimals$}")
    }
}

/// Formats a share as percent.
fn share(value: Option<Spread>) -> String {
    value.map_or_else(dash, |Spread { mean, sd }| {
        let (mean, sd) = (mean * 100.0, sd * 100.0);
        if sd >= 0.05 {
            format!("{mean:.1}±{sd:.1}")
        } else {
            format!("{mean:.1}")
        }
    })
}

fn dash() -> String {
    "-".to_owned()
}

/// Writes aligned columns, the first to the left and the others to the right.
fn write_rows(out: &mut String, rows: &[[String; COLUMNS]]) {
    let titles = TITLES.map(str::to_owned);
    let all = || std::iter::once(&titles).chain(rows);
    let width = |column: usize| {
        let cells = all().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    for row in all() {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> = cells
            .map(|(at, (cell, &width))| {
                if at == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
}
