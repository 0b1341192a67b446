//! Describes the workloads in the terms of inference-perf.

use std::path::Path;

use serde_json::{Value, json};

use super::dose::{Dose, trace};
use super::shape::Shape;
use super::{azure, fleet};

/// Names of the workloads, for `--only`.
pub(super) const NAMES: [&str; 6] = [
    "shared-prefix",
    "random",
    "random-whole",
    "multi-turn",
    "azure",
    "same-body",
];

/// One kind of traffic.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// Description for the reader.
    pub(super) about: &'static str,
    /// Whether answers are streamed. Without streaming there is no time to first token.
    pub(super) streaming: bool,
    pub(super) shape: Shape,
}

/// Where a run reads and writes its files, and where it sends its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) base_url: &'a str,
    pub(super) tokenizer: &'a Path,
    pub(super) reports: &'a Path,
    /// The trace of this round; used only if the workload has one.
    pub(super) trace: &'a Path,
}

impl Workload {
    /// Returns the workloads in the order of the table.
    pub(super) fn all() -> Vec<Self> {
        let [shared, random, whole, turns, azure, same] = NAMES;
        let workload = |name, about, streaming, shape| Self {
            name,
            about,
            streaming,
            shape,
        };
        vec![
            workload(
                shared,
                "72 system prompts of 2,000 tokens, more than one server holds; questions of 600, answers of 32, streamed",
                true,
                Shape::SHARED_PREFIX,
            ),
            workload(
                random,
                "prompts of 50 to 6,000 tokens that share nothing, answers of 2 to 160, streamed",
                true,
                Shape::RANDOM,
            ),
            workload(whole, "the same, not streamed", false, Shape::RANDOM),
            workload(
                turns,
                "48 conversations as growing texts, 600 tokens more each turn, answers of 64, streamed",
                true,
                Shape::MULTI_TURN,
            ),
            workload(
                azure,
                "replay of a trace in the format of AzurePublicDataset, made here: lengths and gaps as such traces have them; streamed",
                true,
                Shape::Trace,
            ),
            workload(
                same,
                "the same short body 400 times, answers of 300 tokens, not streamed; at 20/s, whatever load and time were asked for",
                false,
                Shape::SAME_BODY,
            ),
        ]
    }

    /// Returns the dose of a round of `seconds` at `load`, or at `rate` if it is given. A workload
    /// with a fixed dose ignores `load` and `seconds`.
    pub(super) fn dose(&self, load: f64, rate: Option<f64>, seconds: u64, seed: u64) -> Dose {
        if let (
            Shape::Prefix {
                fixed: Some((rate, seconds)),
                ..
            },
            None,
        ) = (&self.shape, rate)
        {
            return Dose {
                rate: *rate,
                seconds: *seconds,
                seed,
            };
        }
        let rate = rate.unwrap_or_else(|| {
            // The mean cost of a request depends on their number: each beginning is new only once.
            let mut rate = 1.0;
            for _ in 0..30 {
                let demand = self.shape.demand(rate * seconds as f64);
                rate = load * fleet::requests_per_s(&demand);
            }
            (rate * 10.0).round() / 10.0
        });
        Dose {
            rate,
            seconds,
            seed,
        }
    }

    /// Returns the load of this dose, as a fraction of the fleet's capacity.
    pub(super) fn load_of(&self, dose: Dose) -> f64 {
        let capacity = fleet::requests_per_s(&self.shape.demand(dose.requests() as f64));
        dose.rate / capacity
    }

    /// Returns the rows of the round's trace, and `None` if the workload needs no trace.
    pub(super) fn trace(&self, dose: Dose) -> Option<String> {
        matches!(self.shape, Shape::Trace)
            .then(|| azure::rows(dose.requests(), dose.rate, dose.seed))
    }

    /// Returns the configuration of inference-perf for one round in one lane.
    pub(super) fn config(&self, dose: Dose, place: Place<'_>) -> Value {
        let mut load = json!({
            "type": "constant",
            "stages": [{"rate": dose.rate, "duration": dose.seconds}],
            "num_workers": 1,
            // Bounds the requests that wait for their time or are in flight. A low bound would make
            // requests queue in the client.
            "worker_max_concurrency": 2_000,
            "base_seed": dose.seed,
            "request_timeout": 120.0,
        });
        if matches!(self.shape, Shape::Trace) {
            load["type"] = "trace_replay".into();
            load["trace"] = trace(place.trace);
        }
        json!({
            "api": {"type": "completion", "streaming": self.streaming},
            "server": {
                "type": "vllm",
                "model_name": fleet::MODEL,
                "base_url": place.base_url,
                "ignore_eos": true,
            },
            "tokenizer": {"pretrained_model_name_or_path": place.tokenizer},
            "data": self.shape.data(dose, place.trace),
            "load": load,
            "report": {"request_lifecycle": {"summary": true, "per_stage": false, "per_request": false}},
            "storage": {"local_storage": {"path": place.reports}},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Workload {
        Workload::all()
            .into_iter()
            .find(|workload| workload.name == name)
            .unwrap()
    }

    #[test]
    fn every_workload_has_its_name_and_meets_the_load_asked_for() {
        let all = Workload::all();
        assert!(all.iter().map(|workload| workload.name).eq(NAMES));
        for workload in &all {
            let dose = workload.dose(0.7, None, 20, 1);
            if workload.name != "same-body" {
                let load = workload.load_of(dose);
                assert!((load - 0.7).abs() < 0.02, "{}: {load}", workload.name);
            }
            assert!(
                (100..2_000).contains(&dose.requests()),
                "{}: {dose:?}",
                workload.name
            );
        }
    }

    #[test]
    fn a_rate_overrides_the_load_and_the_same_body_is_sent_400_times() {
        assert_eq!(named("random").dose(0.7, Some(3.0), 20, 1).requests(), 60);
        assert_eq!(named("same-body").dose(0.7, None, 20, 1).requests(), 400);
        assert_eq!(
            named("same-body").dose(0.7, Some(5.0), 20, 1).requests(),
            100
        );
    }

    #[test]
    fn both_lanes_get_the_same_configuration_but_for_address_and_folder() {
        let place = |base_url, reports| Place {
            base_url,
            tokenizer: Path::new("/t"),
            reports: Path::new(reports),
            trace: Path::new("/trace.csv"),
        };
        let azure = named("azure");
        let dose = azure.dose(0.7, None, 20, 3);
        let [one, other] = [place("http://a", "/a"), place("http://b", "/b")];
        let [mut one, other] = [one, other].map(|place| azure.config(dose, place));
        assert_eq!(one["load"]["type"], "trace_replay");
        one["server"]["base_url"] = other["server"]["base_url"].clone();
        one["storage"] = other["storage"].clone();
        assert_eq!(one, other);
        assert_eq!(azure.trace(dose), azure.trace(dose));
    }
}
