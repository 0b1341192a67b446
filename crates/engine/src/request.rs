//! What the driver hands in and gets back.

use alloc::vec::Vec;

/// One sequence to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the driver; unique among the requests that have not ended.
    pub id: u64,
    /// Length of the prompt, chat template included. At least 1.
    pub prompt_tokens: u32,
    /// How many tokens the model will write before it stops. At least 1. No scheduling decision reads it: a real engine does not
    /// know it either.
    pub output_tokens: u32,
    /// Entry `i` identifies the first `i + 1` blocks of prompt *and answer* together: a cumulative hash, so that equal entries mean
    /// equal prefixes (the adapter, where there is one, belongs into it too). Well mixed in all 64 bits. Blocks past its end
    /// are never shared. Empty means that the request shares nothing.
    pub chain: Vec<u64>,
    /// The LoRA adapter, or `None` for the base model.
    pub adapter: Option<u32>,
}

/// Something that happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Left the queue for the batch, at the beginning of a step. Comes again after a preemption.
    Admitted {
        /// The request.
        id: u64,
        /// Tokens whose KV was found in the prefix cache; a multiple of the block size, less than the prompt's length.
        cached_tokens: u32,
    },
    /// Lost its KV blocks to an older sequence, at the beginning of a step; waits at the head of the queue to be recomputed.
    Preempted {
        /// The request.
        id: u64,
    },
    /// Got a token, at the end of a step.
    Token {
        /// The request.
        id: u64,
        /// Tokens written so far, this one included: 1 is the first token.
        produced: u32,
        /// Whether it was the last one; the request is then gone.
        finished: bool,
    },
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// `prompt_tokens` or `output_tokens` is 0.
    #[error("a request needs at least one prompt token and one output token")]
    Empty,
    /// The id belongs to a request that has not ended.
    #[error("request id {0} is still in use")]
    DuplicateId(u64),
    /// Could never run, even alone.
    #[error(
        "the request needs {needed_blocks} KV blocks and the server has {kv_blocks}; shorten it or raise kv_blocks"
    )]
    TooLong {
        /// Blocks for prompt and answer.
        needed_blocks: u64,
        /// Blocks of the server.
        kv_blocks: u32,
    },
    /// Names an adapter on a server with no slot for one.
    #[error("the request names an adapter and the server has no adapter slots; set adapter_slots")]
    NoAdapterSlots,
}
