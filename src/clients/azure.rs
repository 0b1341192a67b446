//! Makes a small trace in the format of AzurePublicDataset's LLM traces.

use std::fmt::Write as _;

use trimtab_workload::{Dist, Rng};

/// Lengths like those of published conversations: many short, few long.
const PROMPT: Dist = Dist::LogNormal {
    median: 1_000.0,
    sigma: 0.8,
    max: 6_000.0,
};
const OUTPUT: Dist = Dist::LogNormal {
    median: 60.0,
    sigma: 0.8,
    max: 300.0,
};
/// Means of the two distributions. They were drawn, not computed, because the lengths are cut at
/// the top.
pub(super) const MEAN_PROMPT: f64 = 1_340.0;
pub(super) const MEAN_OUTPUT: f64 = 80.0;
/// Shortest answer. With a single token inference-perf reports no time to first token.
const LEAST: f64 = 2.0;

/// Returns `requests` rows with exponential gaps, at a mean `rate` per second:
/// `TIMESTAMP,ContextTokens,GeneratedTokens`.
pub(super) fn rows(requests: u64, rate: f64, seed: u64) -> String {
    let mut rng = Rng::derive(seed, 0x617a_7572);
    let mut out = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    let mut at_s = 0.0;
    for _ in 0..requests {
        let [prompt, output] = [PROMPT, OUTPUT].map(|length| length.draw(&mut rng).max(LEAST));
        let (minutes, seconds) = ((at_s / 60.0) as u64, at_s % 60.0);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "2026-01-01 {:02}:{:02}:{seconds:010.7},{prompt:.0},{output:.0}",
            minutes / 60 % 24,
            minutes % 60
        );
        at_s += rng.exponential() / rate;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_has_the_means_and_the_rate_that_loads_are_computed_from() {
        let text = rows(20_000, 100.0, 1);
        let (mut prompts, mut outputs, mut last) = (0.0, 0.0, String::new());
        for line in text.lines().skip(1) {
            let mut fields = line.split(',');
            last = fields.next().unwrap().to_owned();
            prompts += fields.next().unwrap().parse::<f64>().unwrap();
            outputs += fields.next().unwrap().parse::<f64>().unwrap();
        }
        let [prompt, output] = [prompts, outputs].map(|sum| sum / 20_000.0);
        assert!((prompt / MEAN_PROMPT - 1.0).abs() < 0.02, "{prompt}");
        assert!((output / MEAN_OUTPUT - 1.0).abs() < 0.02, "{output}");
        assert!(last.starts_with("2026-01-01 00:03:"), "{last}");
        assert_eq!(last.len(), "2026-01-01 00:03:20.0000000".len());
    }
}
