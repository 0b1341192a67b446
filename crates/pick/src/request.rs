//! What the decision may know of one request.

/// The facts of one request. A fact that was not seen is absent, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Request {
    /// Estimated prompt tokens, from the body's length. Absent: unknown.
    pub prompt_tokens: Option<u32>,
    /// What the prompt begins with and shares with other requests: system prompt, tools, first
    /// blocks.
    pub prefix: Option<Prefix>,
    /// The conversation that this request continues or begins.
    pub conversation: Option<Conversation>,
    /// Keyed hash of the beginning of a conversation, where nothing after that beginning was read.
    /// Which turn the request is remains unknown. Absent: more was read, or nothing.
    pub opening: Option<u64>,
    /// Whether the answer is streamed. Only then does its first byte show that prefill is over.
    /// Absent: unknown.
    pub streams: Option<bool>,
    /// The adapter that the request asks for. Absent: the base model, or unknown.
    pub adapter: Option<Adapter>,
    /// Keyed hash of the name of a response, a conversation or a file that one endpoint holds, and
    /// that the request continues or asks for. Absent: none.
    pub held: Option<u64>,
    /// Digest of who asks, for limits that hold for one client: credentials and adapter. It is only
    /// compared with those of the same picker's requests. 0: unknown.
    pub client: u32,
}

/// A shared beginning of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefix {
    /// Keyed hash of the shared beginning.
    pub key: u64,
    /// Estimated tokens: of the whole shared part where the request marks it, else of the tokens
    /// that `key` was made of.
    pub tokens: u32,
    /// Keyed hash of the prompt's first tokens, where `key` stands for a part that the request
    /// marks, such as a system prompt. What is shared may end before the marked part does. 0: `key`
    /// itself is the hash of the first tokens.
    pub head: u64,
    /// Digests of the prompt's first [`BLOCK_TOKENS`], one for each length. 0 where the prompt is
    /// shorter. They are only compared with those of other prompts that the same picker has seen.
    /// All zero: only `key` and `tokens` are known.
    pub blocks: [u32; BLOCKS],
}

/// Number of digests in [`Prefix::blocks`].
pub const BLOCKS: usize = BLOCK_TOKENS.len();
/// Estimated tokens that each of [`Prefix::blocks`] stands for. The last ones end within the 16 KiB
/// of a body that the filter reads, with room for what JSON adds to the text.
pub const BLOCK_TOKENS: [u32; 7] = [512, 768, 1_024, 1_536, 2_048, 3_072, 3_840];

/// A conversation. Each turn repeats everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// Keyed hash of the model, system prompt and first user message, or of the client's name for
    /// the conversation.
    pub key: u64,
    /// Estimated tokens of this request that earlier turns have prefilled. 0 on the first turn.
    pub history_tokens: u32,
    /// Whether the client names the conversation. Its requests then belong together whatever their
    /// prompts say.
    pub is_named: bool,
    /// Whether the prompt goes on behind the part that was read. More of it may be history than
    /// `history_tokens` says.
    pub is_cut: bool,
}

/// A LoRA adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapter {
    /// Keyed hash of its name, for placement.
    pub key: u64,
    /// Its index in the table's list of adapters. Absent: no endpoint has it.
    pub index: Option<u16>,
}
