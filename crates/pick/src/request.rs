//! What the decision may know of one request.

/// The facts of one request. Anything not seen is absent, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Request {
    /// Estimated prompt tokens (from the body's length); absent: unknown.
    pub prompt_tokens: Option<u32>,
    /// What the prompt begins with and shares with other requests: system prompt, tools, first blocks.
    pub prefix: Option<Prefix>,
    /// The conversation this request continues.
    pub conversation: Option<Conversation>,
    /// Keyed hash of the beginning of a conversation, where nothing behind it was read: which turn the request is stays unknown. Absent: more
    /// was read, or nothing.
    pub opening: Option<u64>,
    /// Whether the answer is streamed, so that its first byte says that prefill is over; absent: not known.
    pub streams: Option<bool>,
    /// The adapter it asks for; absent: the base model, or unknown.
    pub adapter: Option<Adapter>,
    /// Keyed hash of the name of something that one endpoint keeps, a response, a conversation or a file, and that the request goes on from or
    /// asks for; absent: nothing.
    pub held: Option<u64>,
}

/// A shared beginning of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefix {
    /// Keyed hash of the shared beginning.
    pub key: u64,
    /// Its estimated length: of the whole shared part where the request marks it, else of what the key was made of.
    pub tokens: u32,
    /// Where `key` stands for a part that the request marks, a system prompt: the key of the prompt's first tokens whatever they belong to,
    /// because what is shared may end before that part does. 0: `key` is that key.
    pub head: u64,
    /// Digests of the prompt's first [`BLOCK_TOKENS`], 0 where it is shorter. Only compared with others that the same decider has seen. All
    /// zero: nothing is known but `key` and `tokens`.
    pub blocks: [u32; BLOCKS],
}

/// Number of digests in [`Prefix::blocks`].
pub const BLOCKS: usize = BLOCK_TOKENS.len();
/// Estimated tokens that each of [`Prefix::blocks`] stands for.
pub const BLOCK_TOKENS: [u32; 7] = [512, 768, 1_024, 1_536, 2_048, 3_072, 4_096];

/// A conversation: its turns repeat everything said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// Keyed hash of the model, system prompt and first user message, or of a session header.
    pub key: u64,
    /// Estimated tokens of this request that an earlier turn has already prefilled; 0 on the first turn.
    pub history_tokens: u32,
    /// The client names it, so that its requests belong together whatever their prompts say.
    pub is_named: bool,
}

/// A LoRA adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapter {
    /// Keyed hash of its name, for placement.
    pub key: u64,
    /// Its index in the table's adapter list; absent: resident nowhere.
    pub index: Option<u16>,
}
