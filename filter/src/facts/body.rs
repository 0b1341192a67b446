//! What the beginning of a JSON request body tells about its prompt.
//!
//! One reading serves every API: OpenAI completions, chat, responses and embeddings, Anthropic messages, and the servers' own
//! `generate`. Their fields do not collide, and gateways rewrite paths, so a choice of shape by path would only add a way to
//! be wrong. The order of keys makes no difference to what is found, except that the conversation key looks only at what stands before
//! the end of the first user message: later turns of a conversation repeat that beginning, while fields behind the messages move
//! out of sight as it grows.

use super::hash::{Digest, Purpose};
use super::json::{Container, Malformed, Place, Sink, Tokenizer};
use super::keys::{Field, Part};
use super::message::Message;
use super::prompt::Prompt;
use super::word::Word;

/// What was seen. Everything is absent unless it was seen completely.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BodyFacts {
    /// `model`, as written.
    pub(crate) model: Option<Vec<u8>>,
    /// `stream`.
    pub(crate) stream: Option<bool>,
    /// Tokens of the prompt: what was seen, and what `Content-Length` says is still to come.
    pub(crate) prompt_tokens: u64,
    /// Digest and tokens of the shared beginning.
    pub(crate) prefix: Option<(Digest, u64)>,
    /// Digest of the conversation.
    pub(crate) conversation: Option<Digest>,
    /// Tokens up to the last answer of the assistant that was seen; 0 on the first turn.
    pub(crate) history_tokens: u64,
}

/// Reads a body piece by piece.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    tokenizer: Tokenizer,
    reader: Reader,
    seen_bytes: u64,
}

impl Body {
    /// Before the first byte.
    pub(crate) fn new() -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            reader: Reader::new(),
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

/// Walks the document and hands its parts to where they belong.
#[derive(Debug, Clone)]
struct Reader {
    depth: u32,
    field: Field,
    not_an_object: bool,
    /// The string being read, when it is a short one.
    word: Word,
    part: Part,
    /// Depth of the object that describes an image or a sound; 0: none.
    media_depth: u32,
    in_media: bool,
    model: Option<Vec<u8>>,
    stream: Option<bool>,
    session: Option<(u8, Digest)>,
    message: Option<Message>,
    prompt: Prompt,
}

impl Reader {
    fn new() -> Self {
        Self {
            depth: 0,
            field: Field::Ignored,
            not_an_object: false,
            word: Word::new(),
            part: Part::Text,
            media_depth: 0,
            in_media: false,
            model: None,
            stream: None,
            session: None,
            message: None,
            prompt: Prompt::new(),
        }
    }

    fn facts(&self, unseen_bytes: u64) -> BodyFacts {
        BodyFacts {
            model: self.model.clone(),
            stream: self.stream,
            prompt_tokens: self.prompt.tokens(unseen_bytes),
            prefix: self.prompt.prefix(),
            conversation: self
                .prompt
                .conversation()
                .or_else(|| self.session.map(|(_, digest)| digest)),
            history_tokens: self.prompt.history_tokens(),
        }
    }

    /// Whether the string being read is an image or a sound.
    fn is_media(&self) -> bool {
        match self.part {
            Part::Media => true,
            Part::Data => self.media_depth > 0,
            Part::Text => false,
        }
    }

    /// A value at the top level is complete.
    fn end_field(&mut self) {
        match self.field {
            Field::System => self.prompt.end_system(),
            Field::Tools => self.prompt.end_tools(),
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
                    self.session = Some((rank, Digest::of(Purpose::Session, name)));
                }
            }
            Field::Turns | Field::Stream | Field::Ignored => {}
        }
        self.field = Field::Ignored;
    }

    fn end_key(&mut self) {
        let key = self.word.get().unwrap_or_default();
        if self.depth == 1 {
            self.field = Field::of(key);
        } else if let Some(message) = self.message.as_mut().filter(|_| self.depth == 3) {
            message.on_key(key);
        }
        self.part = Part::of(key);
    }

    fn end_text(&mut self) {
        if self.in_media {
            self.prompt.media();
        }
        if let Some(message) = self.message.as_mut().filter(|_| self.depth == 3) {
            message.on_value(self.word.get().unwrap_or_default());
        }
        if self.depth == 1 {
            self.end_field();
        }
        self.part = Part::Text;
        self.in_media = false;
    }
}

impl Sink for Reader {
    fn open(&mut self, container: Container) {
        self.depth += 1;
        let is_object = container == Container::Object;
        if self.part == Part::Media && is_object && self.media_depth == 0 {
            self.media_depth = self.depth;
        }
        self.part = Part::Text;
        match (self.depth, self.field) {
            (1, _) => self.not_an_object = !is_object,
            // `text` and `prompt` are objects in some APIs, where they hold no prompt.
            (2, Field::Turns) if is_object => self.field = Field::Ignored,
            (2, Field::Model | Field::Stream | Field::Session(_)) => self.field = Field::Ignored,
            (3, Field::Turns) if is_object => self.message = Some(Message::new()),
            (_, Field::Tools) => self.prompt.tools(if is_object { b"{" } else { b"[" }),
            _ => {}
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
                    self.prompt.end_message(&message);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, place: Place, text: &[u8]) {
        let in_message = self.depth == 3;
        match (place, self.field, &mut self.message) {
            (_, Field::Tools, _) => self.prompt.tools(text),
            (Place::Key, _, _) => self.word.push(text),
            (_, Field::Model | Field::Session(_), _) if self.depth == 1 => self.word.push(text),
            (_, Field::System, _) => self.prompt.system(text),
            (_, Field::Turns, Some(message)) if in_message && message.wants_word() => {
                self.word.push(text)
            }
            (_, Field::Turns, _) => {
                if let Some(message) = &mut self.message {
                    message.write(text);
                }
                if self.is_media() {
                    self.in_media = true;
                } else {
                    self.prompt.turn(text);
                }
            }
            (_, Field::Ignored | Field::Model | Field::Stream | Field::Session(_), _) => {}
        }
    }

    fn text_end(&mut self, place: Place) {
        match place {
            Place::Key => self.end_key(),
            Place::Value => self.end_text(),
        }
        if self.field == Field::Tools {
            self.prompt.tools(b",");
        }
        self.word.clear();
    }

    fn scalar(&mut self, literal: &[u8]) {
        let is_number = literal.first().is_some_and(u8::is_ascii_digit);
        match self.field {
            Field::Tools => {
                self.prompt.tools(literal);
                self.prompt.tools(b",");
            }
            Field::Stream if self.depth == 1 => {
                self.stream = match literal {
                    b"true" => Some(true),
                    b"false" => Some(false),
                    _ => None,
                };
            }
            Field::Turns if self.message.is_none() && is_number && self.depth > 1 => {
                self.prompt.token_id(literal)
            }
            _ => {}
        }
        if self.depth == 1 {
            self.field = Field::Ignored;
        }
        self.part = Part::Text;
    }
}
