//! The histogram families of vLLM's V1 engine, with names, help and buckets as in
//! `vllm/v1/metrics/loggers.py`.

use std::borrow::Cow;

/// The name of a histogram. The value is its position in [`TIMINGS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    PromptTokens,
    GenerationTokens,
    IterationTokens,
    MaxGenerationTokens,
    ParamsN,
    ParamsMaxTokens,
    TimeToFirstToken,
    InterTokenLatency,
    TimePerOutputToken,
    EndToEnd,
    Queue,
    Inference,
    Prefill,
    Decode,
    PrefillComputedTokens,
}

pub(super) struct Family {
    /// Only the test that compares `Timing` with `TIMINGS` reads this.
    #[cfg_attr(not(test), expect(dead_code, reason = "see the field's documentation"))]
    pub(super) timing: Timing,
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) buckets: Buckets,
}

pub(super) enum Buckets {
    Fixed(&'static [f64]),
    /// 1, 2, 5, 10, 20, 50 and so on, up to the longest context.
    OneTwoFive,
}

impl Buckets {
    pub(super) fn bounds(&self, max_model_len: u32) -> Cow<'static, [f64]> {
        match self {
            Self::Fixed(bounds) => Cow::Borrowed(bounds),
            Self::OneTwoFive => {
                let steps =
                    (0..10).flat_map(|exponent| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(exponent)));
                steps
                    .take_while(|bound| *bound <= f64::from(max_model_len))
                    .collect()
            }
        }
    }
}

const FIRST_TOKEN_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const TOKEN_S: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const REQUEST_S: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const STEP_TOKENS: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
];

const fn family(
    timing: Timing,
    name: &'static str,
    help: &'static str,
    buckets: Buckets,
) -> Family {
    Family {
        timing,
        name,
        help,
        buckets,
    }
}

/// The families in the order of vLLM's page.
pub(super) static TIMINGS: [Family; 15] = [
    family(
        Timing::PromptTokens,
        "vllm:request_prompt_tokens",
        "Number of prefill tokens processed.",
        Buckets::OneTwoFive,
    ),
    family(
        Timing::GenerationTokens,
        "vllm:request_generation_tokens",
        "Number of generation tokens processed.",
        Buckets::OneTwoFive,
    ),
    family(
        Timing::IterationTokens,
        "vllm:iteration_tokens_total",
        "Histogram of number of tokens per engine_step.",
        Buckets::Fixed(STEP_TOKENS),
    ),
    family(
        Timing::MaxGenerationTokens,
        "vllm:request_max_num_generation_tokens",
        "Histogram of maximum number of requested generation tokens.",
        Buckets::OneTwoFive,
    ),
    family(
        Timing::ParamsN,
        "vllm:request_params_n",
        "Histogram of the n request parameter.",
        Buckets::Fixed(&[1.0, 2.0, 5.0, 10.0, 20.0]),
    ),
    family(
        Timing::ParamsMaxTokens,
        "vllm:request_params_max_tokens",
        "Histogram of the max_tokens request parameter.",
        Buckets::OneTwoFive,
    ),
    family(
        Timing::TimeToFirstToken,
        "vllm:time_to_first_token_seconds",
        "Histogram of time to first token in seconds.",
        Buckets::Fixed(FIRST_TOKEN_S),
    ),
    family(
        Timing::InterTokenLatency,
        "vllm:inter_token_latency_seconds",
        "Histogram of inter-token latency in seconds.",
        Buckets::Fixed(TOKEN_S),
    ),
    family(
        Timing::TimePerOutputToken,
        "vllm:request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        Buckets::Fixed(TOKEN_S),
    ),
    family(
        Timing::EndToEnd,
        "vllm:e2e_request_latency_seconds",
        "Histogram of e2e request latency in seconds.",
        Buckets::Fixed(REQUEST_S),
    ),
    family(
        Timing::Queue,
        "vllm:request_queue_time_seconds",
        "Histogram of time spent in WAITING phase for request.",
        Buckets::Fixed(REQUEST_S),
    ),
    family(
        Timing::Inference,
        "vllm:request_inference_time_seconds",
        "Histogram of time spent in RUNNING phase for request.",
        Buckets::Fixed(REQUEST_S),
    ),
    family(
        Timing::Prefill,
        "vllm:request_prefill_time_seconds",
        "Histogram of time spent in PREFILL phase for request.",
        Buckets::Fixed(REQUEST_S),
    ),
    family(
        Timing::Decode,
        "vllm:request_decode_time_seconds",
        "Histogram of time spent in DECODE phase for request.",
        Buckets::Fixed(REQUEST_S),
    ),
    family(
        Timing::PrefillComputedTokens,
        "vllm:request_prefill_kv_computed_tokens",
        "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
        Buckets::OneTwoFive,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_is_the_place_of_its_family() {
        for (place, family) in TIMINGS.iter().enumerate() {
            assert_eq!(family.timing as usize, place, "{}", family.name);
        }
    }

    #[test]
    fn token_buckets_follow_the_longest_context() {
        assert_eq!(
            *Buckets::OneTwoFive.bounds(100),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
        assert_eq!(Buckets::OneTwoFive.bounds(131_072).len(), 16);
    }
}
