//! Bands that results are held against.

use std::fmt;

use super::{Digest, Summary, summaries};
use crate::Rule;

/// What the results of a rule should be like, at every load of the scenario, in the mean over seeds. Absent: not asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The rule.
    pub rule: Rule,
    /// Most that p99 of the time to first token may be, over that of the oracle.
    pub p99_ratio_max: Option<f64>,
    /// Most that it may be in seconds.
    pub p99_max_s: Option<f64>,
    /// Least share of requests in SLO, 0 to 1.
    pub slo_share_min: Option<f64>,
    /// Least share of prompt tokens found in a cache, 0 to 1.
    pub hit_ratio_min: Option<f64>,
    /// Most requests of a run that may go to an endpoint which their decider's table has as draining; slack does not widen it.
    pub after_drain_max: Option<f64>,
}

/// How a band came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Held,
    /// Not as it should be.
    Missed,
    /// The rule is not among the results.
    NotRun,
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How it came out.
    pub verdict: Verdict,
    /// For people: rule, load, figure, what it is and should be.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Held => "band held",
            Verdict::Missed => "BAND MISSED",
            Verdict::NotRun => "band not run",
        };
        write!(f, "{verdict}: {}", self.text)
    }
}

/// Holds the results of one scenario against its bands, a line for each figure of each band at each load.
///
/// `slack` widens them for short runs: 0.5 lets a maximum be half as much again, and of the share that a minimum leaves to
/// miss, half as much again.
#[must_use]
pub fn verdicts(bands: &[Band], digests: &[Digest], slack: f64) -> Vec<Finding> {
    let summaries = summaries(digests);
    let mut findings = Vec::new();
    for band in bands {
        let before = findings.len();
        let of_rule = summaries.iter().filter(|cell| cell.rule == band.rule);
        of_rule.for_each(|cell| hold(band, cell, slack, &mut findings));
        if findings.len() == before {
            findings.push(Finding {
                verdict: Verdict::NotRun,
                text: format!("{}: there are no results, or no band", band.rule.as_str()),
            });
        }
    }
    findings
}

fn hold(band: &Band, cell: &Summary, slack: f64, findings: &mut Vec<Finding>) {
    let mut push = |held: bool, text: String| {
        let place = format!("{} at load {}", cell.rule.as_str(), cell.load);
        let verdict = if held { Verdict::Held } else { Verdict::Missed };
        findings.push(Finding {
            verdict,
            text: format!("{place}: {text}"),
        });
    };
    // A figure that is absent or not a number fails every comparison, as it should.
    let [_, _, p99] = cell.ttft_s;
    let seconds = p99.map_or(f64::NAN, |p99| p99.mean);
    if let Some(most) = band.p99_ratio_max {
        let (ratio, most) = (cell.p99_ratio.unwrap_or(f64::NAN), most * (1.0 + slack));
        let text =
            format!("p99 TTFT is {seconds:.3} s, {ratio:.2} x the oracle's, at most {most:.2} x");
        push(ratio <= most, text);
    }
    if let Some(most) = band.p99_max_s {
        let most = most * (1.0 + slack);
        let text = format!("p99 TTFT is {seconds:.3} s, at most {most:.3} s");
        push(seconds <= most, text);
    }
    if let Some(most) = band.after_drain_max {
        let found = cell.after_drain.map_or(f64::NAN, |count| count.mean);
        let text = format!("{found:.0} requests went after drain, at most {most:.0}");
        push(found <= most, text);
    }
    let least = |share: f64| 1.0 - (1.0 - share) * (1.0 + slack);
    let shares = [
        ("in SLO", cell.slo_share, band.slo_share_min),
        ("prefix hits", cell.hit_ratio, band.hit_ratio_min),
    ];
    for (what, found, least_share) in shares {
        if let Some(least) = least_share.map(least) {
            let share = found.map_or(f64::NAN, |share| share.mean);
            let text = format!(
                "{what} is {:.1} %, at least {:.1} %",
                share * 100.0,
                least * 100.0
            );
            push(share >= least, text);
        }
    }
}
