//! The parts of a prompt while they are read: sizes and running hashes, never text.

use trimtab_pick::{BLOCK_TOKENS, BLOCKS};

use super::hash::{Digest, Hasher, Purpose};
use super::media::{Counted, Data, Kind};
use super::message::Message;

/// Bytes of text that make one token, on average over languages and tokenizers.
pub(super) const BYTES_PER_TOKEN: u64 = 4;
/// Shared beginnings shorter than 256 tokens are not worth a placement.
const MIN_PREFIX_BYTES: u64 = 256 * BYTES_PER_TOKEN;
/// So much text shows how many escapes there are.
const ESCAPES_OF_BYTES: u64 = 1_024;
/// Less of a first user message names no conversation unless it is all of it: templates begin alike.
const MIN_OPENING_BYTES: u64 = 1_024;
/// Of the data of a medium it takes so much more: much of its head is the same in many.
const DATA_PER_TEXT: u64 = 4;

/// A size of prompt text, before rounding.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    bytes: u64,
    /// Token ids and media.
    tokens: u64,
}

impl Size {
    /// With `bytes` more of text.
    fn tokens_with(self, bytes: u64) -> u64 {
        (self.bytes.saturating_add(bytes) / BYTES_PER_TOKEN).saturating_add(self.tokens)
    }

    fn is_nothing(self) -> bool {
        self.bytes == 0 && self.tokens == 0
    }
}

/// A part that many prompts share.
#[derive(Debug, Clone)]
struct Shared {
    hash: Hasher,
    bytes: u64,
    /// Whether some of it was seen to its end.
    complete: bool,
}

impl Shared {
    fn new(purpose: Purpose) -> Self {
        Self {
            hash: Hasher::new(purpose),
            bytes: 0,
            complete: false,
        }
    }

    fn write(&mut self, part: &[u8]) {
        self.hash.write(part);
        self.bytes = self.bytes.saturating_add(part.len() as u64);
    }

    fn end(&mut self) {
        self.complete |= self.bytes > 0;
    }

    /// Digest and bytes; absent: not seen to its end.
    fn complete(&self) -> Option<(Digest, u64)> {
        self.complete.then(|| (self.hash.digest(), self.bytes))
    }
}

/// The beginning of a prompt: rolling digests of its first 256 tokens and of its first blocks.
#[derive(Debug, Clone)]
struct Head {
    hash: Hasher,
    bytes: u64,
    first: Option<Digest>,
    blocks: [u32; BLOCKS],
}

impl Head {
    fn new() -> Self {
        Self {
            hash: Hasher::new(Purpose::Head),
            bytes: 0,
            first: None,
            blocks: [0; BLOCKS],
        }
    }

    /// Bytes up to the next end of a block; absent: all are full.
    fn next_end(&self) -> Option<u64> {
        if self.first.is_none() {
            return Some(MIN_PREFIX_BYTES);
        }
        let at = self.blocks.iter().position(|block| *block == 0)?;
        Some(u64::from(*BLOCK_TOKENS.get(at)?) * BYTES_PER_TOKEN)
    }

    fn is_full(&self) -> bool {
        self.next_end().is_none()
    }

    fn write(&mut self, mut part: &[u8]) {
        while let Some(end) = self.next_end().filter(|_| !part.is_empty()) {
            let room = usize::try_from(end.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            let (head, rest) = part.split_at_checked(room).unwrap_or((part, &[]));
            self.hash.write(head);
            self.bytes = self.bytes.saturating_add(head.len() as u64);
            part = rest;
            if self.bytes >= end {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let digest = self.hash.digest();
        if self.first.is_none() {
            self.first = Some(digest);
        } else if let Some(block) = self.blocks.iter_mut().find(|block| **block == 0) {
            *block = digest.short();
        }
    }
}

/// What a prompt shares with others, or may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) digest: Digest,
    /// Of what the digest stands for.
    pub(crate) tokens: u64,
    /// Of tools and the first 256 tokens of text, where `digest` is another one; absent: it is that, or the prompt is shorter.
    pub(crate) head: Option<Digest>,
    /// As [`trimtab_pick::Prefix::blocks`].
    pub(crate) blocks: [u32; BLOCKS],
}

impl Beginning {
    /// The same under a salt: nobody else has it in a cache.
    pub(super) fn salted(self, salt: Option<Digest>) -> Self {
        let Some(mark) = salt.map(Digest::short) else {
            return self;
        };
        Self {
            digest: self.digest.salted(salt),
            head: self.head.map(|head| head.salted(salt)),
            // 0 stays 0: there is no such block.
            blocks: self.blocks.map(|block| match block {
                0 => 0,
                block => (block ^ mark).max(1),
            }),
            ..self
        }
    }
}

/// What is known of a prompt so far.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    system: Shared,
    tools: Shared,
    /// Of system prompt and turns.
    head: Head,
    turns: Size,
    /// The token ids among them, and what they take in the document.
    ids: Size,
    /// The turns up to the last answer of the assistant.
    history: Size,
    first_user: Option<Digest>,
}

impl Prompt {
    pub(super) fn new() -> Self {
        Self {
            system: Shared::new(Purpose::System),
            tools: Shared::new(Purpose::Tools),
            head: Head::new(),
            turns: Size::default(),
            ids: Size::default(),
            history: Size::default(),
            first_user: None,
        }
    }

    /// Text of a top-level system prompt.
    pub(super) fn system(&mut self, part: &[u8]) {
        self.head.write(part);
        self.system.write(part);
    }

    pub(super) fn end_system(&mut self) {
        self.system.end();
    }

    /// Text of the tools' descriptions, with what marks its structure.
    pub(super) fn tools(&mut self, part: &[u8]) {
        self.tools.write(part);
    }

    pub(super) fn end_tools(&mut self) {
        self.tools.end();
    }

    /// Whether system prompt, tools and first user message were seen, so that nothing can be added to the shared beginning.
    pub(super) fn is_settled(&self) -> bool {
        self.system.complete && self.tools.complete && self.first_user.is_some()
    }

    /// Text of a message or of the prompt itself.
    pub(super) fn turn(&mut self, part: &[u8]) {
        self.head.write(part);
        self.turns.bytes = self.turns.bytes.saturating_add(part.len() as u64);
    }

    /// One id of a prompt that comes as token ids, which takes `bytes` in the document.
    pub(super) fn token_id(&mut self, bytes: usize, id: impl FnOnce() -> Option<u32>) {
        self.turns.tokens = self.turns.tokens.saturating_add(1);
        self.ids.tokens = self.ids.tokens.saturating_add(1);
        // With what stands between it and the next.
        self.ids.bytes = self.ids.bytes.saturating_add(bytes as u64 + 1);
        if !self.head.is_full() {
            // As long as the text of a token, by the estimate.
            self.head.write(&id().unwrap_or_default().to_le_bytes());
        }
    }

    /// An image or another medium is complete.
    pub(super) fn media(&mut self, media: Digest, kind: Kind) {
        self.turns.tokens = self.turns.tokens.saturating_add(kind.tokens());
        self.head.hash.add(media);
    }

    /// What was counted as a medium turns out to be one of another kind; absent: text.
    pub(super) fn recount(&mut self, counted: Counted, kind: Option<Kind>) {
        let (more, bytes) = kind.map_or((0, counted.bytes), |kind| (kind.tokens(), 0));
        let tokens = self.turns.tokens.saturating_sub(counted.kind.tokens());
        self.turns.tokens = tokens.saturating_add(more);
        self.turns.bytes = self.turns.bytes.saturating_add(bytes);
    }

    /// A message is complete; its text has been given to [`Self::turn`].
    pub(super) fn end_message(&mut self, message: &Message) {
        if message.is_system() && self.first_user.is_none() {
            // Belongs to the shared beginning, wherever the API puts it.
            self.system.hash.add(message.digest());
            self.system.bytes = self.system.bytes.saturating_add(message.bytes());
            self.turns.bytes = self.turns.bytes.saturating_sub(message.bytes());
            self.system.end();
        } else if message.is_assistant() {
            self.history = self.turns;
        } else if message.is_user() && self.first_user.is_none() {
            self.first_user = Some(self.conversation_of(message, None));
        }
    }

    fn conversation_of(&self, message: &Message, data: Option<&Data>) -> Digest {
        let mut hash = Hasher::new(Purpose::Conversation);
        if let Some((system, _)) = self.system.complete() {
            hash.add(system);
        }
        hash.add(message.digest());
        if let Some(data) = data {
            hash.add(data.digest());
        }
        hash.digest()
    }

    /// Digest of the beginning of a conversation whose first user message is being read; absent: it is not that message, or too little of it
    /// was read. `data`: of a medium that was begun.
    pub(super) fn opening(&self, message: &Message, data: Option<&Data>) -> Option<Digest> {
        let data_bytes = data.map_or(0, |data| data.bytes / DATA_PER_TEXT);
        let is_long = message.bytes().saturating_add(data_bytes) >= MIN_OPENING_BYTES;
        let is_first = message.is_user() && self.first_user.is_none();
        (is_first && is_long).then(|| self.conversation_of(message, data))
    }

    /// Whether nothing of it was seen.
    pub(super) fn is_nothing(&self) -> bool {
        self.turns.is_nothing() && self.shared_bytes() == 0
    }

    /// Tokens of what was seen.
    pub(super) fn tokens(&self) -> u64 {
        self.turns.tokens_with(self.shared_bytes())
    }

    /// Tokens that go on so many bytes of the document, while text or token ids are being read. `escaped`: bytes that escapes took beyond those
    /// of their text; of what comes they will take as large a share.
    pub(super) fn tokens_per_bytes(&self, escaped: u64) -> (u64, u64) {
        let text = self.turns.bytes.saturating_add(self.shared_bytes());
        match self.ids {
            // A few bytes tell nothing of what comes.
            Size { tokens: 0, .. } if escaped == 0 || text < ESCAPES_OF_BYTES => {
                (1, BYTES_PER_TOKEN)
            }
            Size { tokens: 0, .. } => {
                let bytes = text.saturating_add(escaped);
                (text, bytes.saturating_mul(BYTES_PER_TOKEN))
            }
            Size { tokens, bytes } => (tokens, bytes),
        }
    }

    /// Tokens up to the assistant's last answer; 0 on the first turn.
    pub(super) fn history_tokens(&self) -> u64 {
        match self.history.tokens_with(0) {
            0 => 0,
            _ => self.history.tokens_with(self.shared_bytes()),
        }
    }

    fn shared_bytes(&self) -> u64 {
        self.system.bytes.saturating_add(self.tools.bytes)
    }

    /// Digest of the system prompt and the first user message, as far as they stand before that message's end.
    pub(super) fn conversation(&self) -> Option<Digest> {
        self.first_user
    }

    /// System prompt and tools when they are long enough, else the first 256 tokens and what follows them.
    pub(super) fn beginning(&self) -> Option<Beginning> {
        let parts = [self.system.complete(), self.tools.complete()];
        let bytes = parts
            .iter()
            .flatten()
            .fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes));
        if bytes >= MIN_PREFIX_BYTES {
            let [system, tools] = parts.map(|part| part.map(|(digest, _)| digest));
            let head = self.head.first;
            return Some(Beginning {
                digest: together([system, tools]),
                tokens: bytes / BYTES_PER_TOKEN,
                head: head.map(|_| together([tools, head])),
                blocks: self.head.blocks,
            });
        }
        self.head.first.map(|digest| Beginning {
            digest,
            tokens: MIN_PREFIX_BYTES / BYTES_PER_TOKEN,
            head: None,
            blocks: self.head.blocks,
        })
    }
}

/// One digest for what there is of several.
fn together(parts: [Option<Digest>; 2]) -> Digest {
    let mut whole = Hasher::new(Purpose::Prefix);
    parts.into_iter().flatten().for_each(|part| whole.add(part));
    whole.digest()
}
