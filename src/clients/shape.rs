//! Lengths of prompts and answers, and what prompts share. Computes a request's mean work, and
//! configures inference-perf.

use std::path::Path;

use serde_json::{Value, json};
use trimtab_workload::Demand;

use super::azure;
use super::dose::{Dose, trace};

/// A normal distribution of whole numbers, cut at both ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    min: u32,
    max: u32,
    mean: u32,
    std_dev: u32,
}

/// The contents of a workload's requests. Lengths are in tokens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// inference-perf's `shared_prefix`.
    Prefix {
        groups: u32,
        system: u32,
        question: u32,
        output: u32,
        /// Conversations per group: each request is the next turn of one. Absent for single
        /// requests.
        conversations: Option<u32>,
        /// Requests per second, and seconds, independent of the requested load. There is then only
        /// one prompt.
        fixed: Option<(f64, u64)>,
    },
    /// inference-perf's `random`.
    Random { input: Spread, output: Spread },
    /// inference-perf's `trace_replay`, with rows from [`azure::rows`].
    Trace,
}

impl Shape {
    pub(super) const SHARED_PREFIX: Self = Self::Prefix {
        groups: 72,
        system: 2_000,
        question: 600,
        output: 32,
        conversations: None,
        fixed: None,
    };
    pub(super) const MULTI_TURN: Self = Self::Prefix {
        groups: 16,
        system: 100,
        question: 500,
        output: 64,
        conversations: Some(3),
        fixed: None,
    };
    /// One body, at a fifth of the fleet's capacity and half of one server's. A server that got all
    /// requests would be visibly slower. A higher load would reach the machine's limit before the
    /// fleet's: each lane makes 6,000 tokens per second.
    pub(super) const SAME_BODY: Self = Self::Prefix {
        groups: 1,
        system: 20,
        question: 20,
        output: 300,
        conversations: None,
        fixed: Some((20.0, 20)),
    };
    pub(super) const RANDOM: Self = Self::Random {
        input: Spread {
            min: 50,
            max: 6_000,
            mean: 1_500,
            std_dev: 1_200,
        },
        output: Spread {
            min: 2,
            max: 160,
            mean: 64,
            std_dev: 40,
        },
    };

    /// Whether a request waits in the client until an earlier one has its answer.
    pub(super) fn waits(&self) -> bool {
        matches!(
            self,
            Self::Prefix {
                conversations: Some(_),
                ..
            }
        )
    }

    /// Returns the mean work of a request among `requests` of them, with ideal caches.
    pub(super) fn demand(&self, requests: f64) -> Demand {
        let requests = requests.max(1.0);
        let (prompt, uncached, output) = match *self {
            Self::Prefix {
                groups,
                system,
                question,
                output,
                conversations,
                fixed,
            } => {
                let [groups, system, question, output] =
                    [groups, system, question, output].map(f64::from);
                match conversations {
                    // Each turn of a conversation adds the system prompt and a question after
                    // everything said before.
                    Some(each) => {
                        let turns = (requests / (groups * f64::from(each))).max(1.0);
                        let added = system + question + output;
                        (added * (turns + 1.0) / 2.0, added, output)
                    }
                    None if fixed.is_some() => (system + question, 16.0, output),
                    None => (
                        system + question,
                        question + system * groups / requests,
                        output,
                    ),
                }
            }
            Self::Random { input, output } => {
                let input = f64::from(input.mean);
                (input, input, f64::from(output.mean))
            }
            Self::Trace => (azure::MEAN_PROMPT, azure::MEAN_PROMPT, azure::MEAN_OUTPUT),
        };
        Demand {
            requests: requests as u64,
            requests_per_session: 1.0,
            prompt_tokens: prompt,
            uncached_tokens: uncached,
            output_tokens: output,
            context_tokens: prompt + output / 2.0,
        }
    }

    /// Returns the `data` of inference-perf's configuration.
    pub(super) fn data(&self, dose: Dose, trace_file: &Path) -> Value {
        match *self {
            Self::Prefix {
                groups,
                system,
                question,
                output,
                conversations,
                fixed,
            } => {
                // As many prompts as requests, so that no prompt comes twice.
                let fresh = (dose.requests() as u32).div_ceil(groups).max(1);
                let prompts = if fixed.is_some() {
                    1
                } else {
                    conversations.unwrap_or(fresh)
                };
                json!({"type": "shared_prefix", "shared_prefix": {
                    "num_groups": groups,
                    "num_prompts_per_group": prompts,
                    "system_prompt_len": system,
                    "question_len": question,
                    "output_len": output,
                    "enable_multi_turn_chat": conversations.is_some(),
                    "seed": dose.seed,
                }})
            }
            Self::Random { input, output } => json!({
                "type": "random",
                "input_distribution": input.distribution(dose),
                "output_distribution": output.distribution(dose),
            }),
            Self::Trace => json!({"type": "random", "trace": trace(trace_file)}),
        }
    }
}

impl Spread {
    fn distribution(self, dose: Dose) -> Value {
        json!({
            "type": "normal",
            "min": self.min,
            "max": self.max,
            "mean": self.mean,
            "std_dev": self.std_dev,
            "total_count": dose.requests() + 1,
        })
    }
}
