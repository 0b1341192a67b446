//! What the beginning of a JSON request body tells about its prompt.
//!
//! One reading serves every API: OpenAI completions, chat, responses and embeddings, Anthropic messages, and the servers' own
//! `generate`. Their fields do not collide, and gateways rewrite paths, so a choice of shape by path would only add a way to
//! be wrong. The order of keys makes no difference to what is found, except that the conversation key looks only at what stands before
//! the end of the first user message: later turns of a conversation repeat that beginning, while fields behind the messages move
//! out of sight as it grows.

use super::hash::{HashKey, Hasher, Purpose};
use super::json::{Container, Malformed, Place, Sink, Tokenizer};
use super::message::Message;
use super::word::Word;

/// Bytes of text that make one token, on average over languages and tokenizers.
pub(crate) const BYTES_PER_TOKEN: u64 = 4;
/// Shared beginnings shorter than 256 tokens are not worth a placement.
const MIN_PREFIX_BYTES: u64 = 256 * BYTES_PER_TOKEN;
/// An image or a sound clip. Models differ from 250 to 4,000; the base64 text says nothing about it.
const TOKENS_PER_MEDIA: u64 = 1_000;

/// What was seen. Everything is absent unless it was seen completely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BodyFacts {
    /// `model`, as written.
    pub(crate) model: Option<Vec<u8>>,
    /// Tokens of the prompt: what was seen, and what `Content-Length` says is still to come.
    pub(crate) prompt_tokens: u64,
    /// Hash and tokens of the shared beginning.
    pub(crate) prefix: Option<(u64, u64)>,
    /// Hash of the conversation.
    pub(crate) conversation: Option<u64>,
    /// Tokens up to the last answer of the assistant that was seen; 0 on the first turn.
    pub(crate) history_tokens: u64,
}

/// Which top-level field is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Ignored,
    Model,
    /// The client's own name for the conversation; a lower rank wins.
    Session(u8),
    System,
    Tools,
    /// Messages, or the prompt itself.
    Turns,
}

impl Field {
    fn of(key: &[u8]) -> Self {
        match key {
            b"model" => Self::Model,
            b"session_id" => Self::Session(0),
            b"conversation" => Self::Session(1),
            b"prompt_cache_key" => Self::Session(2),
            b"user" => Self::Session(3),
            b"system" | b"instructions" => Self::System,
            b"tools" | b"functions" => Self::Tools,
            b"messages" | b"input" | b"prompt" | b"text" | b"inputs" | b"text_input"
            | b"input_ids" => Self::Turns,
            _ => Self::Ignored,
        }
    }
}

/// Reads a body piece by piece.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    tokenizer: Tokenizer,
    reader: Reader,
    seen_bytes: u64,
}

impl Body {
    /// Before the first byte. `key`: of the pool's table.
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            reader: Reader::new(key),
            seen_bytes: 0,
        }
    }

    /// Takes the next piece. An error means that this is no JSON object, and is final.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), Malformed> {
        self.seen_bytes = self.seen_bytes.saturating_add(chunk.len() as u64);
        self.tokenizer.feed(chunk, &mut self.reader)?;
        if self.reader.not_an_object {
            Err(Malformed)
        } else {
            Ok(())
        }
    }

    /// What was seen. `length`: bytes of the whole body; absent: not known.
    pub(crate) fn facts(&self, length: Option<u64>) -> BodyFacts {
        let unseen_bytes = match length {
            Some(length) if !self.tokenizer.is_done() && !self.reader.in_media => {
                length.saturating_sub(self.seen_bytes)
            }
            _ => 0,
        };
        self.reader.facts(unseen_bytes)
    }
}

#[derive(Debug, Clone)]
struct Reader {
    key: HashKey,
    depth: u32,
    field: Field,
    not_an_object: bool,
    /// The string being read, when it is a short one.
    word: Word,
    /// What the key last read says about its value.
    next: Next,
    /// Depth of the object that describes an image or a sound; 0: none.
    media_depth: u32,
    in_media: bool,
    model: Option<Vec<u8>>,
    session: Option<(u8, u64)>,
    system: Hasher,
    system_bytes: u64,
    system_seen: bool,
    tools: Hasher,
    tools_bytes: u64,
    tools_seen: bool,
    head: Hasher,
    head_bytes: u64,
    message: Option<Message>,
    first_user: Option<u64>,
    turn_tokens: Tokens,
    history: Tokens,
}

/// What a key says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Text,
    /// An image or a sound: a link, base64 data, or an object that holds one of them.
    Media,
    /// A link or base64 data if it stands in such an object.
    Data,
}

impl Next {
    fn of(key: &[u8]) -> Self {
        match key {
            b"image_url" | b"input_audio" | b"image" | b"source" | b"file" => Self::Media,
            b"url" | b"data" | b"file_data" => Self::Data,
            _ => Self::Text,
        }
    }
}

/// A size of prompt text, before rounding.
#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    bytes: u64,
    /// Token ids and media.
    tokens: u64,
}

impl Tokens {
    fn sum(self, bytes: u64) -> u64 {
        self.bytes.saturating_add(bytes) / BYTES_PER_TOKEN + self.tokens
    }
}

impl Reader {
    fn new(key: HashKey) -> Self {
        Self {
            key,
            depth: 0,
            field: Field::Ignored,
            not_an_object: false,
            word: Word::new(),
            next: Next::Text,
            media_depth: 0,
            in_media: false,
            model: None,
            session: None,
            system: Hasher::new(key, Purpose::System),
            system_bytes: 0,
            system_seen: false,
            tools: Hasher::new(key, Purpose::Tools),
            tools_bytes: 0,
            tools_seen: false,
            head: Hasher::new(key, Purpose::Head),
            head_bytes: 0,
            message: None,
            first_user: None,
            turn_tokens: Tokens::default(),
            history: Tokens::default(),
        }
    }

    fn facts(&self, unseen_bytes: u64) -> BodyFacts {
        let shared_bytes = self.system_bytes.saturating_add(self.tools_bytes);
        BodyFacts {
            model: self.model.clone(),
            prompt_tokens: self
                .turn_tokens
                .sum(shared_bytes.saturating_add(unseen_bytes)),
            prefix: self.prefix(),
            conversation: self
                .first_user
                .or_else(|| self.session.map(|(_, hash)| hash)),
            history_tokens: if self.history.sum(0) == 0 {
                0
            } else {
                self.history.sum(shared_bytes)
            },
        }
    }

    /// System prompt and tools when they are long enough, else the first 256 tokens of the prompt.
    fn prefix(&self) -> Option<(u64, u64)> {
        let system_bytes = if self.system_seen {
            self.system_bytes
        } else {
            0
        };
        let tools_bytes = if self.tools_seen { self.tools_bytes } else { 0 };
        let bytes = system_bytes.saturating_add(tools_bytes);
        if bytes >= MIN_PREFIX_BYTES {
            let mut hasher = Hasher::new(self.key, Purpose::Prefix);
            if self.system_seen {
                hasher = hasher.mix(self.system.finish());
            }
            if self.tools_seen {
                hasher = hasher.mix(self.tools.finish());
            }
            return Some((hasher.finish(), bytes / BYTES_PER_TOKEN));
        }
        (self.head_bytes >= MIN_PREFIX_BYTES)
            .then(|| (self.head.finish(), MIN_PREFIX_BYTES / BYTES_PER_TOKEN))
    }

    /// Whether the string being read is an image or a sound.
    fn is_media(&self) -> bool {
        match self.next {
            Next::Media => true,
            Next::Data => self.media_depth > 0,
            Next::Text => false,
        }
    }

    /// Text of the prompt, in the order of the document.
    fn prompt_text(&mut self, part: &[u8]) {
        let room = usize::try_from(MIN_PREFIX_BYTES.saturating_sub(self.head_bytes)).unwrap_or(0);
        let head = part.get(..room).unwrap_or(part);
        if !head.is_empty() {
            self.head.write(head);
            self.head_bytes = self.head_bytes.saturating_add(head.len() as u64);
        }
        if self.field == Field::System {
            self.system.write(part);
            self.system_bytes = self.system_bytes.saturating_add(part.len() as u64);
            return;
        }
        if let Some(message) = &mut self.message {
            message.write(part);
        }
        self.turn_tokens.bytes = self.turn_tokens.bytes.saturating_add(part.len() as u64);
    }

    fn tools_text(&mut self, part: &[u8]) {
        self.tools.write(part);
        self.tools_bytes = self.tools_bytes.saturating_add(part.len() as u64);
    }

    /// A value at the top level is complete.
    fn end_field(&mut self) {
        match self.field {
            Field::System => self.system_seen |= self.system_bytes > 0,
            Field::Tools => self.tools_seen |= self.tools_bytes > 0,
            Field::Model => {
                self.model = self
                    .word
                    .get()
                    .filter(|name| !name.is_empty())
                    .map(<[u8]>::to_vec)
            }
            Field::Session(rank) => {
                let name = self.word.get().filter(|name| !name.is_empty());
                if let Some(name) =
                    name.filter(|_| self.session.is_none_or(|(other, _)| rank < other))
                {
                    self.session = Some((rank, self.key.hash(Purpose::Session, name)));
                }
            }
            Field::Turns | Field::Ignored => {}
        }
        self.field = Field::Ignored;
    }

    fn end_message(&mut self, message: &Message) {
        if message.is_system() && self.first_user.is_none() {
            // Belongs to the shared beginning, wherever the API puts it.
            self.system = self.system.clone().mix(message.finish());
            self.system_bytes = self.system_bytes.saturating_add(message.bytes());
            self.turn_tokens.bytes = self.turn_tokens.bytes.saturating_sub(message.bytes());
            self.system_seen = true;
        } else if message.is_assistant() {
            self.history = self.turn_tokens;
        } else if message.is_user() && self.first_user.is_none() {
            let mut hasher = Hasher::new(self.key, Purpose::Conversation);
            if self.system_seen {
                hasher = hasher.mix(self.system.finish());
            }
            self.first_user = Some(hasher.mix(message.finish()).finish());
        }
    }
}

impl Sink for Reader {
    fn open(&mut self, container: Container) {
        self.depth += 1;
        if self.next == Next::Media && container == Container::Object && self.media_depth == 0 {
            self.media_depth = self.depth;
        }
        self.next = Next::Text;
        match self.depth {
            1 => self.not_an_object = container == Container::Array,
            // `text` and `prompt` are objects in some APIs, where they hold no prompt.
            2 if self.field == Field::Turns && container == Container::Object => {
                self.field = Field::Ignored
            }
            2 if matches!(self.field, Field::Model | Field::Session(_)) => {
                self.field = Field::Ignored
            }
            3 if self.field == Field::Turns && container == Container::Object => {
                self.message = Some(Message::new(self.key));
            }
            _ => {}
        }
        if self.field == Field::Tools {
            self.tools_text(if container == Container::Object {
                b"{"
            } else {
                b"["
            });
        }
    }

    fn close(&mut self, _: Container) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth < self.media_depth {
            self.media_depth = 0;
        }
        match self.depth {
            1 => self.end_field(),
            2 => {
                if let Some(message) = self.message.take() {
                    self.end_message(&message);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        let in_message_object = self.depth == 3 && self.message.is_some();
        match (place, self.field) {
            (_, Field::Tools) => self.tools_text(part),
            (Place::Key, _) => self.word.push(part),
            (_, Field::Model | Field::Session(_)) if self.depth == 1 => self.word.push(part),
            (_, Field::Turns)
                if in_message_object && self.message.as_ref().is_some_and(Message::wants_word) =>
            {
                self.word.push(part);
            }
            (_, Field::Turns) if self.is_media() => {
                self.in_media = true;
                if let Some(message) = &mut self.message {
                    message.write(part);
                }
            }
            (_, Field::System | Field::Turns) => self.prompt_text(part),
            (_, Field::Ignored | Field::Model | Field::Session(_)) => {}
        }
    }

    fn text_end(&mut self, place: Place) {
        match place {
            Place::Key => {
                let key = self.word.get().unwrap_or_default();
                if self.depth == 1 {
                    self.field = Field::of(key);
                } else if let Some(message) = self.message.as_mut().filter(|_| self.depth == 3) {
                    message.on_key(key);
                }
                self.next = Next::of(key);
            }
            Place::Value => {
                if self.in_media {
                    self.turn_tokens.tokens =
                        self.turn_tokens.tokens.saturating_add(TOKENS_PER_MEDIA);
                }
                if let Some(message) = self.message.as_mut().filter(|_| self.depth == 3) {
                    message.on_value(self.word.get().unwrap_or_default());
                }
                if self.depth == 1 {
                    self.end_field();
                }
                self.next = Next::Text;
                self.in_media = false;
            }
        }
        if self.field == Field::Tools {
            self.tools_text(b",");
        }
        self.word.clear();
    }

    fn scalar(&mut self, literal: &[u8]) {
        let is_number = literal.first().is_some_and(|byte| byte.is_ascii_digit());
        match self.field {
            Field::Tools => {
                self.tools_text(literal);
                self.tools_text(b",");
            }
            // A prompt of token ids.
            Field::Turns if self.message.is_none() && is_number && self.depth > 1 => {
                self.turn_tokens.tokens = self.turn_tokens.tokens.saturating_add(1);
                let room = self.head_bytes < MIN_PREFIX_BYTES;
                if room {
                    self.head.write(literal);
                    self.head.write(b",");
                    self.head_bytes = self.head_bytes.saturating_add(BYTES_PER_TOKEN);
                }
            }
            _ => {}
        }
        if self.depth == 1 {
            self.field = Field::Ignored;
        }
        self.next = Next::Text;
    }
}
