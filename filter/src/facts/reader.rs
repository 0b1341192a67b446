//! Walks through the JSON document of a request and hands its parts to where they belong.

use super::hash::{Digest, Hasher, Purpose};
use super::json::{Container, Place, Sink};
use super::keys::{Field, Part, names_for_tool};
use super::media::{Counted, Data, Kind};
use super::message::Message;
use super::path::Shape;
use super::prompt::Prompt;
use super::tensor::{Parameter, Tensor};
use super::word::Word;

use values::number;

mod aside;
mod names;
mod values;

/// The most keys of prompt fields for which a repetition is noticed.
const FIELDS: usize = 16;
/// Depth from which a key may hold what a tool gets: within a part of a message.
const TOOL_DEPTH: u32 = 4;

/// State of the walk, and what it has found.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    shape: Shape,
    depth: u32,
    field: Field,
    /// The field within a [`Field::Options`].
    option: Field,
    not_an_object: bool,
    /// The string being read, if it is a short one.
    word: Word,
    part: Part,
    /// What the object or list around is (a medium, a label or plain text), and its depth. Depth 0:
    /// none of these.
    aside: (Part, u32),
    /// The thing around is a list.
    aside_is_list: bool,
    /// The link or the data of a medium that is being read.
    media: Option<Data>,
    /// The kind of the medium around, as far as it is known.
    kind: Option<Kind>,
    counted: Option<Counted>,
    message: Option<Message>,
    tensor: Option<Tensor>,
    /// The messages, or the prompt, were seen to their end.
    turns_seen: bool,
    /// Digests of the keys of the prompt's fields.
    seen: [u32; FIELDS],
    pub(super) model: Option<Vec<u8>>,
    pub(super) stream: Option<bool>,
    pub(super) max_output_tokens: Option<u32>,
    session: Option<(u8, Digest)>,
    pub(super) salt: Option<Digest>,
    /// A salt or a name that is being read, of any length. A salt may be a list.
    digesting: Option<Box<Hasher>>,
    held: Option<(u8, Digest)>,
    /// The conversation that a server keeps.
    kept: Option<Digest>,
    /// The next value in a [`Field::Kept`] is its name.
    is_id: bool,
    /// The strings at hand, in a tool, are names of what a server keeps.
    names_for_tool: bool,
    pub(super) prompt: Prompt,
}

impl Reader {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            depth: 0,
            field: Field::Ignored,
            option: Field::Ignored,
            not_an_object: false,
            word: Word::new(),
            part: Part::Text,
            aside: (Part::Text, 0),
            aside_is_list: false,
            media: None,
            kind: None,
            counted: None,
            message: None,
            tensor: None,
            turns_seen: false,
            seen: [0; FIELDS],
            model: None,
            stream: None,
            max_output_tokens: None,
            session: None,
            salt: None,
            digesting: None,
            held: None,
            kept: None,
            is_id: false,
            names_for_tool: false,
            prompt: Prompt::new(),
        }
    }

    pub(super) fn is_no_object(&self) -> bool {
        self.not_an_object
    }

    /// Whether an object has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.depth > 0 && !self.not_an_object
    }

    /// Returns the tokens of the prompt as far as it was seen. A medium that was begun counts as
    /// one. `None`: nothing of the prompt was seen.
    pub(super) fn seen_tokens(&self) -> Option<u64> {
        let begun = self.media.as_ref().map(|_| self.kind());
        let media = begun.map_or(0, Kind::tokens);
        let is_seen = self.field.is_prompt() || begun.is_some() || !self.prompt.is_nothing();
        is_seen.then(|| self.prompt.tokens().saturating_add(media))
    }

    /// Returns a ratio, tokens and bytes: the estimate for the bytes that come next. `None`: these
    /// are not known to be text of the prompt.
    ///
    /// - `escaped`: bytes that escapes took beyond those of their text.
    pub(super) fn tokens_per_bytes(&self, escaped: u64) -> Option<(u64, u64)> {
        let is_media = self.media.is_some()
            || self.aside.0 == Part::Media
            || matches!(self.part, Part::Media | Part::File | Part::Holder)
            || self.tensor.as_ref().is_some_and(Tensor::is_media);
        let is_text = self.field.is_prompt() && self.field != Field::Media && !is_media;
        is_text.then(|| self.prompt.tokens_per_bytes(escaped))
    }

    /// Whether everything that makes up the prompt was seen, so that the rest does not belong to
    /// it.
    pub(super) fn prompt_is_settled(&self) -> bool {
        self.turns_seen && self.prompt.is_settled()
    }

    /// Handles a complete key of a field at the top level. If a key comes twice, servers take the
    /// last value, so the first is dropped. If it is a field of the prompt, all of the prompt so
    /// far is dropped.
    fn begin_field(&mut self) {
        let key = self.word.get().unwrap_or_default();
        self.field = Field::of(key, self.shape);
        match self.field {
            Field::Model => self.model = None,
            Field::Salt => self.digesting = None,
            Field::Stream => self.stream = None,
            field if field.is_prompt() => {
                let key = Digest::of(Purpose::Field, key).short();
                let mut seen = self.seen.iter_mut();
                match seen.find(|seen| **seen == key || **seen == 0) {
                    Some(seen) if *seen == key => {
                        self.prompt = Prompt::new();
                        self.turns_seen = false;
                    }
                    Some(free) => *free = key,
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Handles a complete value at the top level.
    fn end_field(&mut self) {
        match self.field {
            Field::System => self.prompt.end_system(),
            Field::Tools => self.prompt.end_tools(),
            Field::Turns | Field::Tensors => self.turns_seen = true,
            Field::Model => self.model = self.name().map(<[u8]>::to_vec),
            Field::Session(rank) => {
                let digest = self.name().map(|name| Digest::of(Purpose::Session, name));
                let is_better = self.session.is_none_or(|(other, _)| rank <= other);
                if let Some(digest) = digest.filter(|_| is_better) {
                    self.session = Some((rank, digest));
                }
            }
            Field::Salt => self.salt = self.digested(),
            Field::Held(rank) => _ = self.holds(rank),
            // For an object the name is known by now.
            Field::Kept => self.kept = self.holds(1).or(self.kept),
            Field::Stream | Field::MaxOutput | Field::Options | Field::Media | Field::Ignored => {}
        }
        self.field = Field::Ignored;
    }

    fn end_key(&mut self) {
        let key = self.word.get().unwrap_or_default();
        if self.field == Field::Tools {
            self.names_for_tool = names_for_tool(key);
            return;
        }
        match self.depth {
            1 => self.begin_field(),
            2 if self.field == Field::Options => self.option = Field::of_option(key),
            2 if self.field == Field::Kept => self.is_id = key == b"id",
            3 => {
                if let Some(message) = &mut self.message {
                    message.on_key(key);
                } else if let Some(tensor) = &mut self.tensor {
                    tensor.on_key(key);
                }
            }
            _ => {}
        }
        let key = self.word.get().unwrap_or_default();
        self.part = Part::of(key);
        if matches!(self.part, Part::Media | Part::File | Part::Holder) {
            self.kind = self.kind.or_else(|| Kind::named(key));
        }
    }

    fn end_text(&mut self) {
        if let Some(data) = self.media.take() {
            self.end_media(&data);
        }
        if self.part == Part::Label && self.depth >= TOOL_DEPTH {
            self.on_label();
        }
        if self.depth == 3 {
            let word = self.word.get().unwrap_or_default();
            if let Some(message) = &mut self.message {
                message.on_value(word);
            } else if let Some(tensor) = &mut self.tensor {
                tensor.on_word(word);
            }
        }
        if self.field == Field::Salt && self.depth > 1 {
            // One entry of a list.
            self.digest(Purpose::Salt, b",");
        }
        self.end_name();
        if self.depth == 2 && self.field == Field::Kept && self.is_id {
            self.kept = self.holds(1);
        }
        if self.depth == 1 {
            self.end_field();
        }
        self.part = Part::Text;
    }

    /// Whether the value that is being read is needed whole.
    fn wants_word(&self) -> bool {
        match self.depth {
            1 => matches!(self.field, Field::Model | Field::Session(_)),
            3 => {
                self.message.as_ref().is_some_and(Message::wants_word)
                    || self.tensor.as_ref().is_some_and(Tensor::wants_word)
            }
            TOOL_DEPTH.. => {
                self.field == Field::Turns
                    && self.part == Part::Label
                    && self.aside.0 != Part::Plain
            }
            _ => false,
        }
    }

    /// Takes a part of a string that is a value.
    fn value(&mut self, text: &[u8]) {
        match self.field {
            Field::Tools => self.prompt.tools(text),
            Field::System if self.value_part() == Part::Text => self.prompt.system(text),
            Field::Turns => self.turn(text),
            Field::Tensors if self.tensor.as_ref().is_some_and(Tensor::in_data) => {
                self.prompt.turn(text);
            }
            Field::Media if self.part != Part::Label => self.write_media(text),
            Field::Salt => self.digest(Purpose::Salt, text),
            Field::Held(_) => self.digest(Purpose::Held, text),
            Field::Kept if self.depth == 1 || self.depth == 2 && self.is_id => {
                self.digest(Purpose::Held, text);
            }
            _ => {}
        }
    }

    fn end_item(&mut self) {
        if let Some(message) = self.message.take() {
            self.prompt.end_message(&message);
            if let Some(name) = message.reference() {
                self.goes_on_from(3, name);
            }
        }
        let tensor = self.tensor.take();
        if tensor.as_ref().is_some_and(Tensor::had_media) {
            self.prompt
                .media(Digest::of(Purpose::Media, b""), Kind::Image);
        }
        match tensor.and_then(|tensor| tensor.parameter()) {
            Some(Parameter::Stream(streams)) => self.stream = Some(streams),
            Some(Parameter::MaxOutput(tokens)) => self.bound_output(tokens),
            None => {}
        }
    }
}

impl Sink for Reader {
    fn open(&mut self, container: Container) {
        self.depth = self.depth.saturating_add(1);
        let is_object = container == Container::Object;
        self.open_aside(is_object);
        self.part = Part::Text;
        match (self.depth, self.field) {
            (1, _) => self.not_an_object = !is_object,
            // In some APIs `text` and `prompt` are objects. They hold no prompt there.
            (2, Field::Turns | Field::Tensors) if is_object => self.field = Field::Ignored,
            (2, Field::Options) if is_object => self.option = Field::Ignored,
            (
                2,
                Field::Model
                | Field::Stream
                | Field::MaxOutput
                | Field::Session(_)
                | Field::Held(_),
            ) => self.field = Field::Ignored,
            (2, Field::Kept) => self.is_id = false,
            (3, Field::Turns) if is_object => self.message = Some(Message::new()),
            (3, Field::Tensors) if is_object => self.tensor = Some(Tensor::default()),
            (_, Field::Tools) => {
                self.names_for_tool &= !is_object;
                self.prompt.tools(if is_object { b"{" } else { b"[" });
            }
            _ => {}
        }
    }

    fn close(&mut self, _: Container) {
        self.depth = self.depth.saturating_sub(1);
        self.close_aside();
        match self.depth {
            1 => self.end_field(),
            2 => self.end_item(),
            _ => {}
        }
    }

    fn text(&mut self, place: Place, text: &[u8]) {
        if self.field == Field::Tools && place == Place::Key {
            self.prompt.tools(text);
            self.word.push(text);
        } else if place == Place::Key || self.wants_word() {
            self.word.push(text);
        } else {
            if self.names_kept() {
                self.digest(Purpose::Held, text);
            }
            self.value(text);
        }
    }

    fn text_end(&mut self, place: Place) {
        self.not_an_object |= self.depth == 0;
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
        self.not_an_object |= self.depth == 0;
        match (self.field, self.depth) {
            (Field::Tools, 2..) => {
                self.prompt.tools(literal);
                self.prompt.tools(b",");
            }
            (Field::Options, 2) => self.setting(self.option, literal),
            (field, 1) => self.setting(field, literal),
            (Field::Turns, 2..)
                if self.message.is_none() && literal.first().is_some_and(u8::is_ascii_digit) =>
            {
                self.prompt.token_id(literal.len(), || number(literal));
            }
            (Field::Tensors, 4..) => self.tensor_value(literal),
            (Field::Salt, 2..) => {
                self.digest(Purpose::Salt, literal);
                self.digest(Purpose::Salt, b",");
            }
            _ => {}
        }
        if self.depth == 1 {
            self.field = Field::Ignored;
        }
        self.part = Part::Text;
    }
}
