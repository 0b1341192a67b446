//! The arguments of `trimtab bench-clients`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::workload;

/// Compare Trimtab with plain LEAST_REQUEST under an independent load generator: unmodified
/// inference-perf.
///
/// Each lane has a stock Envoy with the configuration of deploy/envoy, one of them without the
/// filter. Each lane also has a fleet of its own: three equal simulated model servers and one that
/// is 2.5 times slower. The aggregator knows only their addresses. Every workload is sent to both
/// lanes with the same seeds, in rounds. The reports of inference-perf are compared round by round.
#[derive(Debug, Clone, Parser)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// How long each round sends, in whole seconds, at least 5
    #[arg(long = "for", value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub measure: Duration,

    /// How long to send before the first round: the same workload with another seed, not counted in
    /// the table. 0 for none
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub warm_up: Duration,

    /// Number of rounds of each workload, each with its own seeds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// Only this workload; may be given several times
    #[arg(long, value_name = "NAME", value_parser = workload::NAMES)]
    pub only: Vec<String>,

    /// Offered load as a fraction of what the fleet can do, computed from the servers' profiles
    #[arg(long, value_name = "FRACTION", default_value_t = 0.7, value_parser = load)]
    pub load: f64,

    /// Requests per second to each lane, instead of --load
    #[arg(long, value_name = "REQUESTS", value_parser = rate)]
    pub rate: Option<f64>,

    /// Seed of prompts and lengths. inference-perf draws the arrival times itself, without a seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Drive one lane after the other instead of both at the same time. A busy moment of the
    /// machine then affects only one of them
    #[arg(long)]
    pub in_turn: bool,

    /// Also write the results into benches/record/DATE, for later comparisons. With other arguments
    /// into target/bench, because a shorter run does not compare
    #[arg(long)]
    pub record: bool,

    /// Folder of that record
    #[arg(long, value_name = "DIR", env = "TRIMTAB_RECORD_DIR", hide = true)]
    pub record_dir: Option<PathBuf>,

    /// Folder for results, reports and logs; emptied at the start
    #[arg(long, value_name = "DIR", default_value = "target/clients/last")]
    pub out: PathBuf,

    /// A Python with inference-perf; `cargo xtask bench clients` makes one
    #[arg(long, value_name = "FILE", env = "TRIMTAB_CLIENTS_PYTHON")]
    pub python: PathBuf,

    /// The filter, as built by `cargo xtask wasm`
    #[arg(
        long,
        value_name = "FILE",
        env = "TRIMTAB_FILTER",
        default_value = "target/trimtab/filter.wasm"
    )]
    pub filter: PathBuf,
}

const AFTER_HELP: &str = "\
Examples:
  cargo xtask bench clients                                   everything, some 20 minutes
  cargo xtask bench clients --only shared-prefix --rounds 1   one workload, once: a minute
  cargo xtask bench clients --only random --load 0.9 --for 60

Environment:
  TRIMTAB_ENVOY, ENVOY      the Envoy binary; otherwise `envoy` on the PATH
  TRIMTAB_FILTER            as --filter
  TRIMTAB_CLIENTS_PYTHON    as --python

The table, results.json, every report of inference-perf and every log stand in --out. Exit status 1 where something could not
be run or a round has no report; failed requests are in the table and are not an error. Ctrl-C ends everything at once.";

/// Parses whole seconds, as inference-perf needs them: `20`, `20s`, `1m`. Accepts 0, and 5 to 3,600
/// seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let (number, scale) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 60),
        _ => (text, 1),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "is not a whole number of seconds: write for example 20".to_owned())?;
    match number.checked_mul(scale) {
        Some(0) => Ok(Duration::ZERO),
        Some(seconds @ 5..=3_600) => Ok(Duration::from_secs(seconds)),
        _ => Err("is out of range: from 5 to 3600 seconds".to_owned()),
    }
}

fn load(text: &str) -> Result<f64, String> {
    in_range(text, 0.01, 3.0)
}

fn rate(text: &str) -> Result<f64, String> {
    in_range(text, 0.5, 1_000.0)
}

fn in_range(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(format!("is out of range: from {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_within_bounds() {
        assert_eq!(seconds("20"), Ok(Duration::from_secs(20)));
        assert_eq!(seconds("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for bad in ["", "4", "1.5", "-5", "99999", "18446744073709551615m", "1h"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loads_and_rates_are_positive_numbers() {
        assert_eq!(load("0.7"), Ok(0.7));
        assert_eq!(rate("12"), Ok(12.0));
        for bad in ["", "0", "-1", "NaN", "inf", "70x"] {
            assert!(load(bad).is_err() && rate(bad).is_err(), "{bad}");
        }
    }
}
