//! The result of a round: inference-perf's report, and counts of the lane itself.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

const REPORT: &str = "summary_lifecycle_metrics.json";

/// Mean, median and p99 of one distribution, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// The result of one round in one lane.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Outcome {
    /// Requests for which inference-perf has a result.
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// Failures by inference-perf's own label, such as `504 - Gateway Timeout`.
    pub(super) failed_because: BTreeMap<String, u64>,
    /// Absent if answers were not streamed, or if no request succeeded.
    pub(super) ttft_ms: Option<Spread>,
    /// Absent if no request succeeded.
    pub(super) e2e_ms: Option<Spread>,
    /// How late the client sent. If the median is above 10 ms, inference-perf's documentation says
    /// that no figure can be trusted.
    pub(super) late_ms: Option<Spread>,
    /// Cached share of the prompt tokens, as servers reported it to the client.
    pub(super) cached_share: Option<f64>,
    /// Requests that Envoy sent to each server in this round, including retries.
    pub(super) sent: BTreeMap<String, u64>,
    /// Decisions of the filter in this round, by reason; empty in the other lane.
    pub(super) decisions: BTreeMap<String, u64>,
}

impl Outcome {
    /// Reads the report in `folder`. The caller adds the counts of the lane.
    ///
    /// # Errors
    /// There is no report. inference-perf leaves none when it could not run anything; its exit
    /// status is 0 even then.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(REPORT);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("inference-perf left no report {}", file.display()))?;
        let report: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", file.display()))?;
        Self::parse(&report).with_context(|| format!("{} has another form", file.display()))
    }

    fn parse(report: &Value) -> Result<Self> {
        let count = |part: &str| {
            let count = report[part]["count"].as_u64();
            count.with_context(|| format!("no {part}.count"))
        };
        let (successes, failures) = (count("successes")?, count("failures")?);
        let latency = &report["successes"]["latency"];
        let labels = report["failures"]["by_label"].as_object();
        let failed_because = labels
            .into_iter()
            .flatten()
            .filter_map(|(label, entry)| Some((label.clone(), entry["count"].as_u64()?)))
            .collect();
        Ok(Self {
            requests: successes + failures,
            failures,
            failed_because,
            ttft_ms: spread(&latency["time_to_first_token"]),
            e2e_ms: spread(&latency["request_latency"]),
            late_ms: spread(&report["load_summary"]["schedule_delay"]),
            cached_share: cached_share(&report["successes"]["prompt_tokens"]),
            sent: BTreeMap::new(),
            decisions: BTreeMap::new(),
        })
    }

    /// Returns the share of the sent requests that went to this server, and `None` if nothing was
    /// sent.
    pub(super) fn share_of(&self, server: &str) -> Option<f64> {
        let all: u64 = self.sent.values().sum();
        let part = self.sent.get(server).copied().unwrap_or_default();
        (all > 0).then(|| part as f64 / all as f64)
    }
}

fn spread(distribution: &Value) -> Option<Spread> {
    let ms = |key: &str| Some((distribution[key].as_f64()? * 1e6).round() / 1e3);
    Some(Spread {
        mean: ms("mean")?,
        p50: ms("median")?,
        p99: ms("p99")?,
    })
}

fn cached_share(tokens: &Value) -> Option<f64> {
    let sum = |part: &str| {
        tokens[part]
            .as_f64()
            .or_else(|| tokens[part]["mean"].as_f64())
    };
    let total = sum("total").filter(|total| *total > 0.0)?;
    Some(sum("cached")? / total)
}

/// Returns by how much each counter grew between two readings.
pub(super) fn since(
    before: &BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let grown = |(name, count): (String, u64)| {
        let count = count.saturating_sub(before.get(&name).copied().unwrap_or_default());
        (name, count)
    };
    after.into_iter().map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_come_from_the_report_and_not_from_an_exit_status() {
        let seconds = |mean: f64| json!({"mean": mean, "median": mean / 2.0, "p99": mean * 3.0});
        let report = json!({
            "load_summary": {"count": 10, "schedule_delay": seconds(0.004)},
            "successes": {"count": 8, "latency": {"request_latency": seconds(1.0), "time_to_first_token": null},
                "prompt_tokens": {"total": {"mean": 100.0}, "cached": {"mean": 25.0}}},
            "failures": {"count": 2, "by_label": {"503 - x": {"count": 2, "messages": []}}},
        });
        let outcome = Outcome::parse(&report).unwrap();
        assert_eq!((outcome.requests, outcome.failures), (10, 2));
        assert_eq!(outcome.failed_because["503 - x"], 2);
        assert_eq!(outcome.e2e_ms.unwrap().p99, 3_000.0);
        assert_eq!(outcome.ttft_ms, None);
        assert_eq!(outcome.cached_share, Some(0.25));
        assert!(Outcome::parse(&json!({})).is_err());
        assert!(Outcome::read(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn a_share_is_of_what_was_sent_in_this_round() {
        let counts =
            |slow, fast| BTreeMap::from([("slow".to_owned(), slow), ("fast".to_owned(), fast)]);
        let mut outcome =
            Outcome::parse(&json!({"successes": {"count": 0}, "failures": {"count": 0}})).unwrap();
        assert_eq!(outcome.share_of("slow"), None);
        outcome.sent = since(&counts(10, 10), counts(20, 40));
        assert_eq!(outcome.share_of("slow"), Some(0.25));
    }
}
