//! What the driver gives to the engine and what it gets back.

use alloc::vec::Vec;

/// One sequence to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The driver chooses it. Unique among the requests that have not ended.
    pub id: u64,
    /// Length of the prompt in tokens, chat template included. At least 1.
    pub prompt_tokens: u32,
    /// Tokens that the model will write before it stops. At least 1. No scheduling decision reads
    /// this, because a real engine does not know it either.
    pub output_tokens: u32,
    /// Hashes that identify the blocks of prompt *and answer* together.
    ///
    /// - Entry `i` is a cumulative hash of the first `i + 1` blocks: equal entries mean equal
    ///   prefixes.
    /// - If the request has an adapter, the hash must include the adapter.
    /// - Hashes must be well mixed in all 64 bits.
    /// - Blocks beyond the last entry are never shared. An empty list shares nothing.
    pub chain: Vec<u64>,
    /// The LoRA adapter. `None` means the base model.
    pub adapter: Option<u32>,
}

/// Something that happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The request left the queue for the batch, at the beginning of a step. Comes again after a
    /// preemption.
    Admitted {
        /// The request.
        id: u64,
        /// Tokens whose KV was found in the prefix cache. A multiple of the block size, and less
        /// than the known tokens: the prompt and the answer so far.
        cached_tokens: u32,
    },
    /// The request lost its KV blocks to an older sequence, at the beginning of a step. It waits at
    /// the head of the queue, and is recomputed.
    Preempted {
        /// The request.
        id: u64,
    },
    /// The request got a token, at the end of a step.
    Token {
        /// The request.
        id: u64,
        /// Tokens written so far, including this one. 1 is the first token.
        produced: u32,
        /// Whether this is the last token. The engine then forgets the request.
        finished: bool,
    },
}

/// Why the engine refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// `prompt_tokens` or `output_tokens` is 0.
    #[error("a request needs at least one prompt token and one output token")]
    Empty,
    /// The id belongs to a request that has not ended.
    #[error("request id {0} is still in use")]
    DuplicateId(u64),
    /// The request could never run, even alone.
    #[error(
        "the request needs {needed_blocks} KV blocks and the server has {kv_blocks}; shorten it or raise kv_blocks"
    )]
    TooLong {
        /// Blocks that prompt and answer need.
        needed_blocks: u64,
        /// Blocks that the server has.
        kv_blocks: u32,
    },
    /// The request names an adapter, and the server has no adapter slot.
    #[error("the request names an adapter and the server has no adapter slots; set adapter_slots")]
    NoAdapterSlots,
}
