//! How fast a machine is and how much it holds: the coefficients of the step-time model.

use crate::BLOCK_TOKENS;

/// The coefficients of one model on one accelerator.
///
/// A step that prefills chunks of `n` tokens beginning at position `p` and decodes `d` sequences with `c` tokens of context takes
///
/// ```text
/// ( base + prefill * sum(n * (1 + (p + n/2) / attention_half)) + decode * d + context * c + adapter_load * loads ) / speed
/// ```
///
/// seconds. The form is linear because measured engines are: a fit of 21 published vLLM 0.11 runs of Llama-3-8B on an H100
/// (kubernetes-sigs/inference-perf, demos/kubecon-na-2025) has a largest error of 7 % with fewer terms than these.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Short name, lower case, such as `h100`.
    pub name: &'static str,
    /// Time of a step that does nothing but read the weights, in seconds. More than 0.
    pub step_base_s: f64,
    /// Compute per prefilled token at position 0, in seconds. More than 0.
    pub prefill_s_per_token: f64,
    /// Compute per decoding sequence, in seconds. Not negative.
    pub decode_s_per_sequence: f64,
    /// Reading one token of a decoding sequence's KV cache, in seconds. Not negative.
    pub context_s_per_token: f64,
    /// Position at which attention doubles the cost of a prefilled token. More than 0.
    pub attention_half_tokens: f64,
    /// KV-cache blocks of [`BLOCK_TOKENS`] tokens. At least 1.
    pub kv_blocks: u32,
    /// Most sequences in one batch (vLLM `max_num_seqs`). At least 1.
    pub max_num_seqs: u32,
    /// Most tokens computed in one step (vLLM `max_num_batched_tokens`). At least `max_num_seqs`.
    pub max_batched_tokens: u32,
    /// Share of the KV blocks that an admission leaves free, 0 to 0.5, so that running sequences can grow.
    pub watermark_ratio: f64,
    /// LoRA adapters that one batch can hold (vLLM `max_loras`). 0 means that requests with an adapter are refused.
    pub adapter_slots: u32,
    /// Time for which loading one adapter holds up the step, in seconds. Not negative.
    pub adapter_load_s: f64,
    /// All times are divided by this. 1 is the machine as described, 0.4 a machine 2.5 times slower.
    pub speed: f64,
}

/// What is measured or derived per accelerator; the rest of a [`Profile`] is the same for all.
struct Accelerator {
    name: &'static str,
    base_ms: f64,
    token_us: f64,
    context_ns: f64,
    kv_tokens: u32,
}

/// Llama-3-8B in bf16 on one accelerator.
///
/// * `base_ms`: a100 and l4 are the simulator's figures for vLLM with its scheduling overhead; h100 lies between the fit of
///   published runs (6.9) and BLIS (5.8); l40s, h200 and b200 are AIConfigurator's time per token at batch 1 (vLLM 0.24 data).
/// * `token_us`: of prefill and of decode alike, (TTFT of 1,024 tokens at batch 1 - base) / 1,024 from the same tables.
/// * `context_ns`: 131,072 bytes of KV per token (8 KV heads x 128 x 2 x 2 bytes x 32 layers) over the memory bandwidth.
/// * `kv_tokens`: 0.9 x memory less 16 GB of weights and the activations, over those bytes; a100 and h100 rounded to vLLM's own.
///
/// MI300X and TPUs are absent: no open measurement of this model on them was found, and a guess would pass for a fact.
const ACCELERATORS: [Accelerator; 6] = [
    Accelerator {
        name: "l4",
        base_ms: 58.0,
        token_us: 280.0,
        context_ns: 450.0,
        kv_tokens: 36_000,
    },
    Accelerator {
        name: "l40s",
        base_ms: 22.0,
        token_us: 72.0,
        context_ns: 160.0,
        kv_tokens: 200_000,
    },
    Accelerator {
        name: "a100",
        base_ms: 10.0,
        token_us: 85.0,
        context_ns: 65.0,
        kv_tokens: 400_000,
    },
    Accelerator {
        name: "h100",
        base_ms: 6.5,
        token_us: 42.0,
        context_ns: 42.0,
        kv_tokens: 400_000,
    },
    Accelerator {
        name: "h200",
        base_ms: 4.9,
        token_us: 41.0,
        context_ns: 29.0,
        kv_tokens: 840_000,
    },
    Accelerator {
        name: "b200",
        base_ms: 3.5,
        token_us: 33.0,
        context_ns: 17.0,
        kv_tokens: 1_100_000,
    },
];

impl Profile {
    /// The profile of this name, or `None`. [`Profile::names`] lists them. Case is ignored.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ACCELERATORS
            .iter()
            .find(|a| a.name.eq_ignore_ascii_case(name))
            .map(Self::of)
    }

    /// The names that [`Profile::named`] knows, slowest first.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ACCELERATORS.iter().map(|a| a.name)
    }

    fn of(accelerator: &Accelerator) -> Self {
        Self {
            name: accelerator.name,
            step_base_s: accelerator.base_ms / 1e3,
            prefill_s_per_token: accelerator.token_us / 1e6,
            decode_s_per_sequence: accelerator.token_us / 1e6,
            context_s_per_token: accelerator.context_ns / 1e9,
            attention_half_tokens: 32_000.0,
            kv_blocks: accelerator.kv_tokens / BLOCK_TOKENS,
            max_num_seqs: 256,
            max_batched_tokens: 2_048,
            watermark_ratio: 0.01,
            adapter_slots: 8,
            adapter_load_s: 0.15,
            speed: 1.0,
        }
    }

    /// Blocks that an admission leaves free.
    pub(crate) fn watermark_blocks(&self) -> u32 {
        // `check` bounds the ratio, so the product fits.
        (f64::from(self.kv_blocks) * self.watermark_ratio) as u32
    }

    /// Tokens of KV cache in all.
    #[must_use]
    pub fn kv_tokens(&self) -> u64 {
        u64::from(self.kv_blocks) * u64::from(BLOCK_TOKENS)
    }

    /// # Errors
    /// The first field that is outside the range its documentation gives.
    pub fn check(&self) -> Result<(), ProfileError> {
        let positive = f64::MIN_POSITIVE..=1e6;
        let zero_up = 0.0..=1e6;
        let ranges = [
            ("step_base_s", self.step_base_s, &positive),
            ("prefill_s_per_token", self.prefill_s_per_token, &positive),
            (
                "decode_s_per_sequence",
                self.decode_s_per_sequence,
                &zero_up,
            ),
            ("context_s_per_token", self.context_s_per_token, &zero_up),
            (
                "attention_half_tokens",
                self.attention_half_tokens,
                &(1.0..=1e12),
            ),
            (
                "kv_blocks",
                f64::from(self.kv_blocks),
                &(1.0..=f64::from(1u32 << 27)),
            ),
            (
                "max_num_seqs",
                f64::from(self.max_num_seqs),
                &(1.0..=65_536.0),
            ),
            (
                "max_batched_tokens",
                f64::from(self.max_batched_tokens),
                &(f64::from(self.max_num_seqs)..=1e7),
            ),
            ("watermark_ratio", self.watermark_ratio, &(0.0..=0.5)),
            (
                "adapter_slots",
                f64::from(self.adapter_slots),
                &(0.0..=1_024.0),
            ),
            ("adapter_load_s", self.adapter_load_s, &zero_up),
            ("speed", self.speed, &(1e-6..=1e6)),
        ];
        // `contains` is false for NaN, so a NaN is refused too.
        match ranges
            .into_iter()
            .find(|(_, value, range)| !range.contains(value))
        {
            Some((field, value, range)) => Err(ProfileError {
                field,
                value,
                least: *range.start(),
                most: *range.end(),
            }),
            None => Ok(()),
        }
    }
}

/// A field of a [`Profile`] that is out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("profile field `{field}` is {value}; use a number from {least} to {most}")]
pub struct ProfileError {
    /// Name of the field.
    pub field: &'static str,
    /// What it holds.
    pub value: f64,
    /// Smallest value allowed.
    pub least: f64,
    /// Largest value allowed.
    pub most: f64,
}
