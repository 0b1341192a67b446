//! The coefficients of the step-time model: how fast a server is and how much it holds.

use crate::BLOCK_TOKENS;

/// The coefficients of one model on one accelerator.
///
/// A step prefills chunks of `n` tokens that begin at position `p`. It decodes `d` sequences with
/// `c` tokens of context in all. Its duration in seconds is
///
/// ```text
/// ( base
///   + prefill * sum(n * (1 + (p + n/2) / attention_half))
///   + decode * d
///   + context * c
///   + adapter_load * loads ) / speed
/// ```
///
/// The form is linear because measured engines are. A fit of 21 published vLLM 0.11 runs of
/// Llama-3-8B on an H100 (kubernetes-sigs/inference-perf, demos/kubecon-na-2025) has a largest
/// error of 7 %, with fewer terms than these.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Short name in lower case, for example `h100`.
    pub name: &'static str,
    /// Time of a step that only reads the weights, in seconds. More than 0.
    pub step_base_s: f64,
    /// Compute time per prefilled token at position 0, in seconds. More than 0.
    pub prefill_s_per_token: f64,
    /// Compute time per decoding sequence, in seconds. Not negative.
    pub decode_s_per_sequence: f64,
    /// Time to read one token of a decoding sequence's KV cache, in seconds. Not negative.
    pub context_s_per_token: f64,
    /// Position at which attention doubles the cost of a prefilled token. At least 1.
    pub attention_half_tokens: f64,
    /// KV-cache blocks of [`BLOCK_TOKENS`] tokens. At least 1.
    pub kv_blocks: u32,
    /// Maximum number of sequences in one batch (vLLM `max_num_seqs`). At least 1.
    pub max_num_seqs: u32,
    /// Maximum number of tokens computed in one step (vLLM `max_num_batched_tokens`). At least
    /// `max_num_seqs`.
    pub max_batched_tokens: u32,
    /// Share of the KV blocks that an admission leaves free, 0 to 0.5. Running sequences grow into
    /// them.
    pub watermark_ratio: f64,
    /// LoRA adapters that one batch can hold (vLLM `max_loras`). With 0, requests with an adapter
    /// are refused.
    pub adapter_slots: u32,
    /// Time by which loading one adapter lengthens the step, in seconds. Not negative.
    pub adapter_load_s: f64,
    /// Divisor of all times. 1 is the described machine, 0.4 a machine 2.5 times slower.
    pub speed: f64,
}

/// The values that differ between accelerators. The rest of a [`Profile`] is the same for all.
struct Accelerator {
    name: &'static str,
    base_ms: f64,
    token_us: f64,
    context_ns: f64,
    kv_tokens: u32,
}

/// Llama-3-8B in bf16 on one accelerator.
///
/// * `base_ms`: a100 and l4 are the simulator's figures for vLLM with its scheduling overhead. h100
///   lies between the fit of published runs (6.9) and BLIS (5.8). l40s, h200 and b200 are
///   AIConfigurator's time per token at batch 1 (vLLM 0.24 data).
/// * `token_us`: the same for prefill and decode: (TTFT of 1,024 tokens at batch 1 - base) / 1,024,
///   from the same tables.
/// * `context_ns`: 131,072 bytes of KV per token (8 KV heads x 128 x 2 x 2 bytes x 32 layers)
///   divided by the memory bandwidth.
/// * `kv_tokens`: (0.9 x memory - 16 GB of weights - activations) / 131,072 bytes. a100 and h100
///   are rounded to vLLM's own figures.
///
/// MI300X and TPUs are absent. No open measurement of this model on them was found, and a guess
/// would look like a fact.
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
    /// Returns the profile with this name, or `None`. [`Profile::names`] lists them. Case is
    /// ignored.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ACCELERATORS
            .iter()
            .find(|a| a.name.eq_ignore_ascii_case(name))
            .map(Self::of)
    }

    /// Returns the names that [`Profile::named`] knows, slowest first.
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

    /// Returns the number of blocks that an admission leaves free.
    pub(crate) fn watermark_blocks(&self) -> u32 {
        // `check` bounds the ratio, so the product fits.
        (f64::from(self.kv_blocks) * self.watermark_ratio) as u32
    }

    /// Returns the size of the KV cache in tokens.
    #[must_use]
    pub fn kv_tokens(&self) -> u64 {
        u64::from(self.kv_blocks) * u64::from(BLOCK_TOKENS)
    }

    /// Checks that each field is in the range that its documentation gives.
    ///
    /// # Errors
    /// Returns the first field that is out of range.
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
        // `contains` is false for NaN, so NaN is an error too.
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

/// A [`Profile`] field that is out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("profile field `{field}` is {value}; use a number from {least} to {most}")]
pub struct ProfileError {
    /// The field's name.
    pub field: &'static str,
    /// The field's value.
    pub value: f64,
    /// Smallest value allowed.
    pub least: f64,
    /// Largest value allowed.
    pub most: f64,
}
