//! The parts of a prompt while they are read: sizes and running hashes, never text.

use trimtab_pick::{BLOCK_TOKENS, BLOCKS};

use super::hash::{Digest, Hasher, Purpose};
use super::media::{Counted, Data, Kind};
use super::message::Message;

/// Bytes of text per token, on average over languages and tokenizers.
pub(super) const BYTES_PER_TOKEN: u64 = 4;
/// Shared beginnings shorter than 256 tokens are not worth a placement.
const MIN_PREFIX_BYTES: u64 = 256 * BYTES_PER_TOKEN;
/// Bytes of text from which the share of escapes is known.
const ESCAPES_OF_BYTES: u64 = 1_024;
/// Bytes of a first user message that identify a conversation. A shorter part does so only if it is
/// the whole message, because templates begin in the same way.
const MIN_OPENING_BYTES: u64 = 1_024;
/// The data of a medium has to be longer by this factor, because the heads of many media are the
/// same.
const DATA_PER_TEXT: u64 = 4;

/// A size of prompt text, before rounding.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    bytes: u64,
    /// Token ids and media.
    tokens: u64,
}

impl Size {
    /// Tokens, with `bytes` more bytes of text.
    fn tokens_with(self, bytes: u64) -> u64 {
        (self.bytes.saturating_add(bytes) / BYTES_PER_TOKEN).saturating_add(self.tokens)
    }

    fn is_nothing(self) -> bool {
        self.bytes == 0 && self.tokens == 0
    }
}

/// A part of the prompt that many prompts share.
#[derive(Debug, Clone)]
struct Shared {
    hash: Hasher,
    bytes: u64,
    /// Whether some of the part was seen to its end.
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

    /// Returns digest and bytes. `None`: not seen to its end.
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

    /// Returns the size in bytes at which the next block ends. `None`: all blocks are full.
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

/// What a prompt shares with others, or may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) digest: Digest,
    /// Tokens of the text that the digest stands for.
    pub(crate) tokens: u64,
    /// Digest of tools and the first 256 tokens of text. Absent: `digest` is that, or the prompt is
    /// shorter.
    pub(crate) head: Option<Digest>,
    /// As [`trimtab_pick::Prefix::blocks`].
    pub(crate) blocks: [u32; BLOCKS],
}

impl Beginning {
    /// Returns the beginning under a salt: caches with another salt do not have it.
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
    /// The beginning of system prompt and turns.
    head: Head,
    turns: Size,
    /// The token ids among the turns, and the bytes that they take in the document.
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

    /// Adds text of a top-level system prompt.
    pub(super) fn system(&mut self, part: &[u8]) {
        self.head.write(part);
        self.system.write(part);
    }

    pub(super) fn end_system(&mut self) {
        self.system.end();
    }

    /// Adds text of the tools' descriptions, with marks of its structure.
    pub(super) fn tools(&mut self, part: &[u8]) {
        self.tools.write(part);
    }

    pub(super) fn end_tools(&mut self) {
        self.tools.end();
    }

    /// Whether system prompt, tools and first user message were seen, so that nothing can be added
    /// to the shared beginning.
    pub(super) fn is_settled(&self) -> bool {
        self.system.complete && self.tools.complete && self.first_user.is_some()
    }

    /// Adds text of a message or of the prompt itself.
    pub(super) fn turn(&mut self, part: &[u8]) {
        self.head.write(part);
        self.turns.bytes = self.turns.bytes.saturating_add(part.len() as u64);
    }

    /// Adds one id of a prompt that comes as token ids. It takes `bytes` bytes in the document.
    pub(super) fn token_id(&mut self, bytes: usize, id: impl FnOnce() -> Option<u32>) {
        self.turns.tokens = self.turns.tokens.saturating_add(1);
        self.ids.tokens = self.ids.tokens.saturating_add(1);
        // One more for what separates it from the next.
        self.ids.bytes = self.ids.bytes.saturating_add(bytes as u64 + 1);
        if !self.head.is_full() {
            // Four bytes, as long as the estimated text of a token.
            self.head.write(&id().unwrap_or_default().to_le_bytes());
        }
    }

    /// Adds a complete image or other medium.
    pub(super) fn media(&mut self, media: Digest, kind: Kind) {
        self.turns.tokens = self.turns.tokens.saturating_add(kind.tokens());
        self.head.hash.add(media);
    }

    /// Corrects a medium that turns out to be of another kind.
    ///
    /// - `kind`: absent: it is text.
    pub(super) fn recount(&mut self, counted: Counted, kind: Option<Kind>) {
        let (more, bytes) = kind.map_or((0, counted.bytes), |kind| (kind.tokens(), 0));
        let tokens = self.turns.tokens.saturating_sub(counted.kind.tokens());
        self.turns.tokens = tokens.saturating_add(more);
        self.turns.bytes = self.turns.bytes.saturating_add(bytes);
    }

    /// Handles a complete message. Its text has been given to [`Self::turn`].
    pub(super) fn end_message(&mut self, message: &Message) {
        if message.is_system() && self.first_user.is_none() {
            // The message belongs to the shared beginning, wherever the API puts it.
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

    /// Returns the digest of the beginning of a conversation whose first user message is being
    /// read. `None`: the message is not that, or too little of it was read.
    ///
    /// - `data`: a medium that was begun.
    pub(super) fn opening(&self, message: &Message, data: Option<&Data>) -> Option<Digest> {
        let data_bytes = data.map_or(0, |data| data.bytes / DATA_PER_TEXT);
        let is_long = message.bytes().saturating_add(data_bytes) >= MIN_OPENING_BYTES;
        let is_first = message.is_user() && self.first_user.is_none();
        (is_first && is_long).then(|| self.conversation_of(message, data))
    }

    /// Whether system prompt and tools were seen, and less of a first user message than an opening
    /// needs, so that many conversations may begin like this.
    ///
    /// - `message`: the message that is being read.
    pub(super) fn is_shared_only(&self, message: Option<&Message>) -> bool {
        let begun = message.map_or(0, Message::bytes);
        !self.is_nothing()
            && self.first_user.is_none()
            && self.turns.tokens == 0
            && self.turns.bytes.saturating_sub(begun) < MIN_OPENING_BYTES
    }

    /// Whether nothing of the prompt was seen.
    pub(super) fn is_nothing(&self) -> bool {
        self.turns.is_nothing() && self.shared_bytes() == 0
    }

    /// Tokens of what was seen.
    pub(super) fn tokens(&self) -> u64 {
        self.turns.tokens_with(self.shared_bytes())
    }

    /// Returns a ratio, tokens and bytes: the estimate for the bytes of the document that come
    /// next, while text or token ids are being read.
    ///
    /// - `escaped`: bytes that escapes took beyond those of their text. The rest is expected to
    ///   have the same share.
    pub(super) fn tokens_per_bytes(&self, escaped: u64) -> (u64, u64) {
        let text = self.turns.bytes.saturating_add(self.shared_bytes());
        match self.ids {
            // A few bytes say nothing about the rest.
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

    /// Returns the tokens up to the end of the assistant's last answer, or as much of it as was
    /// read; 0 on the first turn.
    ///
    /// - `message`: the message that is being read.
    pub(super) fn history_tokens(&self, message: Option<&Message>) -> u64 {
        let history = match message.is_some_and(Message::is_assistant) {
            true => self.turns,
            false => self.history,
        };
        match history.tokens_with(0) {
            0 => 0,
            _ => history.tokens_with(self.shared_bytes()),
        }
    }

    fn shared_bytes(&self) -> u64 {
        self.system.bytes.saturating_add(self.tools.bytes)
    }

    /// Returns the digest of the first user message, and of the system prompt as far as it stands
    /// before that message's end.
    pub(super) fn conversation(&self) -> Option<Digest> {
        self.first_user
    }

    /// Returns system prompt and tools if they are long enough, else the first 256 tokens and what
    /// follows them.
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

/// Digests those parts that there are into one digest.
fn together(parts: [Option<Digest>; 2]) -> Digest {
    let mut whole = Hasher::new(Purpose::Prefix);
    parts.into_iter().flatten().for_each(|part| whole.add(part));
    whole.digest()
}
