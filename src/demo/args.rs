//! The demo's arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::policy::Policy;

/// Compare three load balancers on the same arrivals: Trimtab, LEAST_REQUEST, ROUND_ROBIN.
///
/// Starts one real Envoy with three lanes. Each lane has its own, identical fleet of four simulated
/// model servers (no GPU): two fast ones, one that is 2.5 times slower, one with a small KV cache.
/// The same chats, agents, long prompts and adapter requests are sent to all lanes at the same
/// times, even if a lane lags. A live view shows the progress; a table at the end shows the
/// results.
#[derive(Debug, Clone, Parser)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// How long to measure after the warm-up, for example 30s, 90 or 2m
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub measure: Duration,

    /// How long to send before measuring, so that caches fill and conversations begin. Requests of
    /// the warm-up are in no statistic
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub warm_up: Duration,

    /// Seed of contents and arrival times; the same seed sends the same requests
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Offered load as a fraction of what the fleet can do, computed from the servers' profiles
    #[arg(long, value_name = "FRACTION", default_value_t = 0.8, value_parser = load)]
    pub load: f64,

    /// Replay a trace instead: Mooncake JSON lines or Azure CSV. Its times are stretched to meet
    /// --load. Prompts that do not fit into every server of the fleet are shortened
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Write report.json, ttft.svg and requests.csv into this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,

    /// Run without Envoy: the trimtab lane goes through `trimtab proxy` (the same filter in a small
    /// proxy). The load client itself balances the other two lanes, with the same rules as Envoy's
    #[arg(long)]
    pub no_envoy: bool,

    /// Run these lanes only. All lanes share the machine, so fewer of them show how much of a
    /// result is the machine's
    #[arg(
        long,
        value_name = "LANE,..",
        value_delimiter = ',',
        default_values_t = Policy::ALL,
        hide_default_value = true,
        conflicts_with = "no_envoy"
    )]
    pub lanes: Vec<Policy>,

    /// Print plain lines instead of a table that redraws itself
    #[arg(long)]
    pub plain: bool,

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
  cargo xtask demo                                  build everything, fetch Envoy, run
  trimtab demo --for 2m --load 0.9 --report out     longer, more load, keep the figures
  trimtab demo --lanes trimtab                      one lane, with the machine for itself
  trimtab demo --trace conversation.jsonl           somebody's real traffic

Environment:
  TRIMTAB_ENVOY, ENVOY    the Envoy binary; otherwise `envoy` on the PATH
  TRIMTAB_FILTER          as --filter

Statistics cover the requests that were due in the measured time, until their last token; requests of the
warm-up are left out. Ctrl-C ends everything at once.";

/// Parses `30`, `30s`, `1.5m` or `500ms`: at least 100 ms, at most an hour.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err(format!("unknown unit {unit:?}: use ms, s or m")),
    };
    let seconds = number
        .trim()
        .parse::<f64>()
        .map_err(|_| "is not a time: write for example 30s".to_owned())?
        * scale;
    if (0.1..=3_600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("is out of range: from 100ms to 60m".to_owned())
    }
}

fn load(text: &str) -> Result<f64, String> {
    let load = text
        .parse::<f64>()
        .map_err(|_| "is not a number: write for example 0.8".to_owned())?;
    if (0.01..=3.0).contains(&load) {
        Ok(load)
    } else {
        Err("is out of range: from 0.01 to 3".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "s", "30h", "-1s", "0", "2000m", "NaN", "inf"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_load_is_a_positive_number() {
        assert_eq!(load("0.8"), Ok(0.8));
        for bad in ["", "0", "-1", "80", "NaN"] {
            assert!(load(bad).is_err(), "{bad}");
        }
    }
}
