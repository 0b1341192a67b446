//! Runs rounds. Both lanes get the same requests, at the same time or one after the other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Args;
use super::dose::Dose;
use super::fleet;
use super::generator::Generator;
use super::lane::Lane;
use super::outcome::{Outcome, since};
use super::results::{Measured, Pair};
use super::workload::{Place, Workload};

/// Distance between the first seeds of two runs. The seeds of a run's rounds lie between them.
const SEED_STEP: u64 = 1_000;

/// What all rounds share.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) args: &'a Args,
    pub(super) generator: Generator,
    /// Folder for configurations, reports and logs.
    pub(super) out: PathBuf,
}

impl Bench<'_> {
    /// Runs the warm-up and every round of one workload. `lanes` are in the order of the table.
    pub(super) async fn rounds(&self, workload: &Workload, lanes: &[Lane]) -> Result<Measured> {
        let args = self.args;
        let first = args.seed.wrapping_mul(SEED_STEP);
        let dose = |seconds, seed| workload.dose(args.load, args.rate, seconds, seed);
        let full = dose(args.measure.as_secs(), first);
        let load = workload.load_of(full);
        println!(
            "  {:.1} requests/s to each lane for {} s, {:.0} % of what its fleet can do",
            full.rate,
            full.seconds,
            load * 100.0
        );
        let warm_up = match args.warm_up.as_secs() {
            0 => None,
            seconds => {
                // The warm-up uses the rate of the rounds. Its own, shorter time would give another
                // rate.
                let dose = Dose {
                    rate: full.rate,
                    seconds,
                    seed: first,
                };
                Some(self.round(workload, lanes, dose, "warm-up", 0).await?)
            }
        };
        let mut pairs = Vec::new();
        for number in 1..=args.rounds {
            let seed = first.wrapping_add(number.into());
            let name = format!("round {number}/{}", args.rounds);
            let dose = Dose { seed, ..full };
            pairs.push(self.round(workload, lanes, dose, &name, number).await?);
        }
        Ok(Measured {
            name: workload.name,
            about: workload.about,
            streaming: workload.streaming,
            turns_wait: workload.shape.waits(),
            rate: full.rate,
            seconds: full.seconds,
            load,
            warm_up,
            rounds: pairs,
        })
    }

    /// Runs one round in both lanes. With `in_turn` the lane that comes first alternates.
    async fn round(
        &self,
        workload: &Workload,
        lanes: &[Lane],
        dose: Dose,
        name: &str,
        number: u32,
    ) -> Result<Pair> {
        let start = Instant::now();
        let [ours, plain] = lanes else {
            anyhow::bail!("there are {} lanes, not two", lanes.len())
        };
        let run = |lane| self.drive(workload, lane, dose, number);
        let (ours, plain) = if !self.args.in_turn {
            tokio::try_join!(run(ours), run(plain))?
        } else if number.is_multiple_of(2) {
            let ours = run(ours).await?;
            (ours, run(plain).await?)
        } else {
            let plain = run(plain).await?;
            (run(ours).await?, plain)
        };
        println!(
            "  {name}: {} | {} ({:.0} s)",
            said("trimtab", &ours),
            said("LEAST_REQUEST", &plain),
            start.elapsed().as_secs_f64()
        );
        Ok(Pair {
            trimtab: ours,
            least_request: plain,
        })
    }

    async fn drive(
        &self,
        workload: &Workload,
        lane: &Lane,
        dose: Dose,
        number: u32,
    ) -> Result<Outcome> {
        let dir = self.out.join(workload.name).join(lane.policy.name());
        let [config, reports, trace] =
            ["json", "reports", "csv"].map(|ending| dir.join(format!("round-{number}.{ending}")));
        let place = Place {
            base_url: &format!("http://{}", lane.address),
            tokenizer: &self.generator.tokenizer,
            reports: &reports,
            trace: &trace,
        };
        if let Some(rows) = workload.trace(dose) {
            std::fs::write(&trace, rows)
                .with_context(|| format!("cannot write {}", trace.display()))?;
        }
        // inference-perf reads YAML, and JSON is YAML too.
        std::fs::write(&config, workload.config(dose, place).to_string())
            .with_context(|| format!("cannot write {}", config.display()))?;
        let (sent, decisions) = (lane.sent().await?, lane.decisions().await?);
        self.generator
            .run(&config, Duration::from_secs(dose.seconds))
            .await?;
        let mut outcome = Outcome::read(&reports)
            .with_context(|| format!("see {}", config.with_extension("log").display()))?;
        outcome.sent = since(&sent, lane.sent().await?);
        outcome.decisions = since(&decisions, lane.decisions().await?);
        Ok(outcome)
    }
}

/// Formats a lane's round in a few words.
fn said(name: &str, outcome: &Outcome) -> String {
    let ms = |spread: Option<super::outcome::Spread>| {
        spread.map_or_else(|| "-".to_owned(), |s| format!("{:.0}/{:.0}", s.mean, s.p99))
    };
    let slow = outcome
        .share_of(fleet::SLOW)
        .map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let failures = match outcome.failures {
        0 => String::new(),
        count => format!(", {count} FAILED"),
    };
    format!(
        "{name} {} requests{failures}, TTFT {} ms, e2e {} ms (mean/p99), {slow} to the slow server",
        outcome.requests,
        ms(outcome.ttft_ms),
        ms(outcome.e2e_ms)
    )
}
