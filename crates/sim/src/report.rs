//! Reports: the figures of each run, their means over seeds, and both as tables, CSV and JSON.

mod expect;
mod files;
mod table;

pub use expect::{Band, Finding, Verdict, verdicts};
pub use files::{csv, json};
pub use table::table;

use crate::{Prediction, Rule, Run, TrafficCounts, percentile};

/// Number of points that are kept of a distribution. With this many the 99th percentile is exact.
const CURVE_POINTS: usize = 2_000;

/// Percentiles of one distribution in seconds. Infinite means that too many requests never got
/// there. `None` means that the distribution is empty.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Percentiles {
    /// Half of the values are at or below this.
    pub p50: Option<f64>,
    /// 90 % of the values are at or below this.
    pub p90: Option<f64>,
    /// 99 % of the values are at or below this.
    pub p99: Option<f64>,
}

impl Percentiles {
    fn of(sorted: &[f32]) -> Self {
        Self {
            p50: percentile(sorted, 0.5),
            p90: percentile(sorted, 0.9),
            p99: percentile(sorted, 0.99),
        }
    }
}

/// The figures of one [`Run`], without its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// Name of the scenario.
    pub scenario: String,
    /// The rule that chose.
    pub rule: Rule,
    /// Offered load, as a share of capacity.
    pub load: f64,
    /// Seed of the workload and of the decisions.
    pub seed: u64,
    /// Number of deciders.
    pub deciders: u32,
    /// Requests that arrived in the measured time.
    pub requests: u64,
    /// Requests among `requests` that ended without all tokens.
    pub failed: u64,
    /// Time to first token.
    pub ttft_s: Percentiles,
    /// Time per output token after the first.
    pub tpot_s: Percentiles,
    /// Time to the last token.
    pub e2e_s: Percentiles,
    /// Mean time to the last token. Infinite if some request never ended, `None` if there was no
    /// request.
    pub e2e_mean_s: Option<f64>,
    /// Share of requests within the SLO, 0 to 1.
    pub slo_share: f64,
    /// Share of prompt tokens found in a cache, 0 to 1.
    pub hit_ratio: f64,
    /// Requests of the busiest endpoint divided by the mean. 1 means that all got the same. 0
    /// without requests.
    pub busiest_ratio: f64,
    /// See [`Run::after_drain`].
    pub after_drain: u64,
    /// Errors of the rule's predictions.
    pub prediction: Prediction,
    /// What passed between aggregator and proxies.
    pub traffic: TrafficCounts,
    /// Time to first token at equally spaced shares, ascending. At most 2,000 points, for a plot.
    pub ttft_curve_s: Vec<f32>,
}

impl Digest {
    /// Computes the figures of `run`.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        Self {
            scenario: run.scenario.clone(),
            rule: run.rule,
            load: run.load,
            seed: run.seed,
            deciders: run.deciders,
            requests: run.requests,
            failed: run.failed,
            ttft_s: Percentiles::of(&run.ttft_s),
            tpot_s: Percentiles::of(&run.tpot_s),
            e2e_s: Percentiles::of(&run.e2e_s),
            e2e_mean_s: mean(&run.e2e_s),
            slo_share: run.slo_share,
            hit_ratio: run.hit_ratio,
            busiest_ratio: busiest(&run.per_endpoint),
            after_drain: run.after_drain,
            prediction: run.prediction,
            traffic: run.traffic,
            ttft_curve_s: thinned(&run.ttft_s),
        }
    }
}

fn mean(values: &[f32]) -> Option<f64> {
    let sum = values.iter().map(|value| f64::from(*value)).sum::<f64>();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

fn busiest(per_endpoint: &[u64]) -> f64 {
    let most = per_endpoint.iter().copied().max().unwrap_or(0) as f64;
    let sum = per_endpoint.iter().map(|count| *count as f64).sum::<f64>();
    if sum > 0.0 {
        most * per_endpoint.len() as f64 / sum
    } else {
        0.0
    }
}

fn thinned(sorted: &[f32]) -> Vec<f32> {
    if sorted.len() <= CURVE_POINTS {
        return sorted.to_vec();
    }
    let points = 1..=CURVE_POINTS;
    points
        .filter_map(|point| {
            // The nearest rank of the share `point / CURVE_POINTS`, in whole numbers.
            let rank = (point * sorted.len()).div_ceil(CURVE_POINTS);
            sorted.get(rank.saturating_sub(1)).copied()
        })
        .collect()
}

/// Mean and standard deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Infinite if a value is infinite.
    pub mean: f64,
    /// Standard deviation of the values (n - 1). 0 for a single value, NaN if a value is infinite.
    pub sd: f64,
}

impl Spread {
    /// Computes both of `values`. Returns `None` if there are none.
    #[must_use]
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let count = values.clone().count() as f64;
        if count == 0.0 {
            return None;
        }
        let mean = values.clone().sum::<f64>() / count;
        let squares = values.map(|value| (value - mean).powi(2)).sum::<f64>();
        let sd = (squares / (count - 1.0).max(1.0)).sqrt();
        Some(Self { mean, sd })
    }
}

/// One rule at one load, over its seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The rule that chose.
    pub rule: Rule,
    /// Offered load, as a share of capacity.
    pub load: f64,
    /// Time to first token: p50, p90, p99 in seconds.
    pub ttft_s: [Option<Spread>; 3],
    /// Time per output token: p50 and p99 in seconds.
    pub tpot_s: [Option<Spread>; 2],
    /// Time to the last token: mean and p99 in seconds.
    pub e2e_s: [Option<Spread>; 2],
    /// Mean p99 of the time to first token divided by that of the oracle at this load. `None` if
    /// one of them is missing.
    pub p99_ratio: Option<f64>,
    /// Share of requests within the SLO.
    pub slo_share: Option<Spread>,
    /// Share of prompt tokens found in a cache.
    pub hit_ratio: Option<Spread>,
    /// See [`Digest::busiest_ratio`].
    pub busiest_ratio: Option<Spread>,
    /// See [`Run::after_drain`].
    pub after_drain: Option<Spread>,
    /// Absolute errors of predictions in seconds: p50 and p90. `None`: the rule predicts nothing.
    pub missed_s: [Option<Spread>; 2],
    /// See [`Prediction::missed_share_p50`].
    pub missed_share: Option<Spread>,
    /// Tables published per second.
    pub tables_per_s: Option<Spread>,
    /// Mean age in seconds of the tables that decisions used.
    pub table_age_s: Option<Spread>,
}

/// Computes means over seeds, one summary per load and rule, in the order of `digests`. All must be
/// of one scenario.
#[must_use]
pub fn summaries(digests: &[Digest]) -> Vec<Summary> {
    let mut cells: Vec<(f64, Rule)> = Vec::new();
    for digest in digests {
        let cell = (digest.load, digest.rule);
        if !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    cells
        .into_iter()
        .map(|(load, rule)| summary(digests, load, rule))
        .collect()
}

fn summary(digests: &[Digest], load: f64, rule: Rule) -> Summary {
    let of = |rule: Rule, figure: fn(&Digest) -> Option<f64>| {
        let cell = digests
            .iter()
            .filter(move |digest| digest.load == load && digest.rule == rule);
        Spread::of(cell.filter_map(figure))
    };
    let p99 = |digest: &Digest| digest.ttft_s.p99;
    let [own, oracle] = [rule, Rule::Oracle].map(|rule| of(rule, p99));
    Summary {
        rule,
        load,
        ttft_s: [
            of(rule, |digest| digest.ttft_s.p50),
            of(rule, |digest| digest.ttft_s.p90),
            own,
        ],
        tpot_s: [
            of(rule, |digest| digest.tpot_s.p50),
            of(rule, |digest| digest.tpot_s.p99),
        ],
        e2e_s: [
            of(rule, |digest| digest.e2e_mean_s),
            of(rule, |digest| digest.e2e_s.p99),
        ],
        p99_ratio: own
            .zip(oracle)
            .map(|(own, oracle)| own.mean / oracle.mean)
            .filter(|ratio| !ratio.is_nan()),
        slo_share: of(rule, |digest| Some(digest.slo_share)),
        hit_ratio: of(rule, |digest| Some(digest.hit_ratio)),
        busiest_ratio: of(rule, |digest| Some(digest.busiest_ratio)),
        after_drain: of(rule, |digest| Some(digest.after_drain as f64)),
        missed_s: [
            of(rule, |digest| digest.prediction.missed_p50_s),
            of(rule, |digest| digest.prediction.missed_p90_s),
        ],
        missed_share: of(rule, |digest| digest.prediction.missed_share_p50),
        tables_per_s: of(rule, |digest| Some(digest.traffic.tables_per_s)),
        table_age_s: of(rule, |digest| Some(digest.traffic.table_age_s)),
    }
}

#[cfg(test)]
mod tests;
