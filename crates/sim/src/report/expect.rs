//! Bands: what results are expected to be.

use std::fmt;

use super::{Digest, Summary, summaries};
use crate::Rule;

/// The expected results of a rule, at every load of the scenario, in the mean over seeds. A limit
/// that is `None` is not checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The rule.
    pub rule: Rule,
    /// Largest p99 of the time to first token, divided by that of the oracle.
    pub p99_ratio_max: Option<f64>,
    /// Largest p99 of the time to first token in seconds.
    pub p99_max_s: Option<f64>,
    /// Least share of requests in SLO, 0 to 1.
    pub slo_share_min: Option<f64>,
    /// Least share of prompt tokens found in a cache, 0 to 1.
    pub hit_ratio_min: Option<f64>,
    /// Most requests of a run that may go to an endpoint which is draining by the table that
    /// decided. Slack does not widen this limit.
    pub after_drain_max: Option<f64>,
}

/// The result of one comparison with a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The result is within the band.
    Held,
    /// The result is outside the band.
    Missed,
    /// There are no results of the rule, or the band has no limit.
    NotRun,
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Whether the band held.
    pub verdict: Verdict,
    /// Text for people: rule, load, figure, the result and its limit.
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

/// Compares the results of one scenario with its bands. Returns one finding for each limit of each
/// band at each load.
///
/// `slack` widens the bands for short runs. With 0.5 a maximum grows by half. A minimum is a share,
/// and what it leaves to 1 grows by half.
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
    // An absent figure is NaN here, and NaN fails every comparison. That is intended.
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
