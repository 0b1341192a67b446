//! Walks the JSON document of a request and hands its parts to where they belong.

use super::hash::{Digest, Hasher, Purpose};
use super::json::{Container, Place, Sink};
use super::keys::{Field, Part};
use super::message::Message;
use super::path::Shape;
use super::prompt::Prompt;
use super::tensor::{Parameter, Tensor};
use super::word::Word;

/// State of the walk, and what it has found.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    shape: Shape,
    depth: u32,
    field: Field,
    /// The field within a [`Field::Options`].
    option: Field,
    not_an_object: bool,
    /// The string being read, when it is a short one.
    word: Word,
    part: Part,
    /// What the object around is, an image or a label, and its depth; 0: neither.
    aside: (Part, u32),
    /// The image or sound being read.
    media: Option<Hasher>,
    message: Option<Message>,
    tensor: Option<Tensor>,
    /// The messages, or the prompt, were seen to their end.
    turns_seen: bool,
    pub(super) model: Option<Vec<u8>>,
    pub(super) stream: Option<bool>,
    pub(super) max_output_tokens: Option<u32>,
    session: Option<(u8, Digest)>,
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
            media: None,
            message: None,
            tensor: None,
            turns_seen: false,
            model: None,
            stream: None,
            max_output_tokens: None,
            session: None,
            prompt: Prompt::new(),
        }
    }

    pub(super) fn is_no_object(&self) -> bool {
        self.not_an_object
    }

    /// Whether an image or a sound is being read.
    pub(super) fn in_media(&self) -> bool {
        self.media.is_some()
    }

    /// Whether everything that makes up the prompt was seen, so that what is still to come is none of it.
    pub(super) fn prompt_is_settled(&self) -> bool {
        self.turns_seen && self.prompt.is_settled()
    }

    /// Digest of the conversation: of its beginning, else of the client's name for it.
    pub(super) fn conversation(&self) -> Option<Digest> {
        let named = self.session.map(|(_, digest)| digest);
        self.prompt.conversation().or(named)
    }

    /// What the string being read is.
    fn value_part(&self) -> Part {
        match (self.part, self.aside.0) {
            (Part::Label, _) | (_, Part::Label) => Part::Label,
            (Part::Media, _) | (Part::Data, Part::Media) => Part::Media,
            _ => Part::Text,
        }
    }

    fn name(&self) -> Option<&[u8]> {
        self.word.get().filter(|name| !name.is_empty())
    }

    /// A value at the top level is complete.
    fn end_field(&mut self) {
        match self.field {
            Field::System => self.prompt.end_system(),
            Field::Tools => self.prompt.end_tools(),
            Field::Turns | Field::Tensors => self.turns_seen = true,
            Field::Model => self.model = self.name().map(<[u8]>::to_vec),
            Field::Session(rank) => {
                let digest = self.name().map(|name| Digest::of(Purpose::Session, name));
                let is_better = self.session.is_none_or(|(other, _)| rank < other);
                if let Some(digest) = digest.filter(|_| is_better) {
                    self.session = Some((rank, digest));
                }
            }
            Field::Stream | Field::MaxOutput | Field::Options | Field::Media | Field::Ignored => {}
        }
        self.field = Field::Ignored;
    }

    fn end_key(&mut self) {
        let key = self.word.get().unwrap_or_default();
        match self.depth {
            1 => self.field = Field::of(key, self.shape),
            2 if self.field == Field::Options => self.option = Field::of_option(key),
            3 => {
                if let Some(message) = &mut self.message {
                    message.on_key(key);
                } else if let Some(tensor) = &mut self.tensor {
                    tensor.on_key(key);
                }
            }
            _ => {}
        }
        self.part = Part::of(key);
    }

    fn end_text(&mut self) {
        if let Some(media) = self.media.take() {
            let media = media.digest();
            self.prompt.media(media);
            if let Some(message) = &mut self.message {
                message.media(media);
            }
        }
        if self.is_kind_of_aside() && self.name() == Some(b"text") {
            // A document in plain text (Messages API) comes in the same object as an image does.
            self.aside.0 = Part::Text;
        }
        if self.depth == 3 {
            let word = self.word.get().unwrap_or_default();
            if let Some(message) = &mut self.message {
                message.on_value(word);
            } else if let Some(tensor) = &mut self.tensor {
                tensor.on_word(word);
            }
        }
        if self.depth == 1 {
            self.end_field();
        }
        self.part = Part::Text;
    }

    /// Whether the value that is being read says what the object of an image or a sound holds.
    fn is_kind_of_aside(&self) -> bool {
        self.part == Part::Label && self.aside == (Part::Media, self.depth)
    }

    /// Whether the value that is being read is wanted whole.
    fn wants_word(&self) -> bool {
        match self.depth {
            1 => matches!(self.field, Field::Model | Field::Session(_)),
            3 => {
                self.message.as_ref().is_some_and(Message::wants_word)
                    || self.tensor.as_ref().is_some_and(Tensor::wants_word)
            }
            4.. => self.is_kind_of_aside(),
            _ => false,
        }
    }

    /// Part of a string that is a value.
    fn value(&mut self, text: &[u8]) {
        match self.field {
            Field::Tools => self.prompt.tools(text),
            Field::System if self.value_part() == Part::Text => self.prompt.system(text),
            Field::Turns => self.turn(text),
            Field::Tensors if self.tensor.as_ref().is_some_and(Tensor::in_data) => {
                self.prompt.turn(text);
            }
            Field::Media => self.write_media(text),
            _ => {}
        }
    }

    fn turn(&mut self, text: &[u8]) {
        match self.value_part() {
            Part::Media | Part::Data => self.write_media(text),
            Part::Label => {}
            Part::Text => {
                // Later messages count by their length alone.
                let opening = self.prompt.conversation().is_none();
                if let Some(message) = self.message.as_mut().filter(|_| opening) {
                    message.text(text);
                }
                self.prompt.turn(text);
            }
        }
    }

    fn write_media(&mut self, text: &[u8]) {
        self.media
            .get_or_insert_with(|| Hasher::new(Purpose::Media))
            .write(text);
    }

    /// A number or a word of a field that is one, at the top level or among the options.
    fn setting(&mut self, field: Field, literal: &[u8]) {
        match field {
            Field::Stream => self.stream = flag(literal),
            Field::MaxOutput => {
                if let Some(tokens) = number(literal) {
                    self.bound_output(tokens);
                }
            }
            _ => {}
        }
    }

    /// Of two bounds the lower holds.
    fn bound_output(&mut self, tokens: u32) {
        let known = self.max_output_tokens.unwrap_or(u32::MAX);
        self.max_output_tokens = Some(known.min(tokens));
    }

    fn tensor_value(&mut self, literal: &[u8]) {
        let Some(tensor) = self.tensor.as_mut().filter(|tensor| tensor.in_data()) else {
            return;
        };
        if let Some(number) = number(literal) {
            for id in tensor.on_number(number) {
                self.prompt.token_id(|| Some(id));
            }
        } else if let Some(flag) = flag(literal) {
            tensor.on_flag(flag);
        }
    }

    fn end_item(&mut self) {
        if let Some(message) = self.message.take() {
            self.prompt.end_message(&message);
        }
        match self.tensor.take().and_then(|tensor| tensor.parameter()) {
            Some(Parameter::Stream(streams)) => self.stream = Some(streams),
            Some(Parameter::MaxOutput(tokens)) => self.bound_output(tokens),
            None => {}
        }
    }
}

fn flag(literal: &[u8]) -> Option<bool> {
    match literal {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

fn number(literal: &[u8]) -> Option<u32> {
    std::str::from_utf8(literal).ok()?.parse().ok()
}

impl Sink for Reader {
    fn open(&mut self, container: Container) {
        self.depth += 1;
        let is_object = container == Container::Object;
        if matches!(self.part, Part::Media | Part::Label) && is_object && self.aside.1 == 0 {
            self.aside = (self.part, self.depth);
        }
        self.part = Part::Text;
        match (self.depth, self.field) {
            (1, _) => self.not_an_object = !is_object,
            // `text` and `prompt` are objects in some APIs, where they hold no prompt.
            (2, Field::Turns | Field::Tensors) if is_object => self.field = Field::Ignored,
            (2, Field::Options) if is_object => self.option = Field::Ignored,
            (2, Field::Model | Field::Stream | Field::MaxOutput | Field::Session(_)) => {
                self.field = Field::Ignored;
            }
            (3, Field::Turns) if is_object => self.message = Some(Message::new()),
            (3, Field::Tensors) if is_object => self.tensor = Some(Tensor::default()),
            (_, Field::Tools) => self.prompt.tools(if is_object { b"{" } else { b"[" }),
            _ => {}
        }
    }

    fn close(&mut self, _: Container) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth < self.aside.1 {
            self.aside = (Part::Text, 0);
        }
        match self.depth {
            1 => self.end_field(),
            2 => self.end_item(),
            _ => {}
        }
    }

    fn text(&mut self, place: Place, text: &[u8]) {
        if self.field == Field::Tools && place == Place::Key {
            self.prompt.tools(text);
        } else if place == Place::Key || self.wants_word() {
            self.word.push(text);
        } else {
            self.value(text);
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
                self.prompt.token_id(|| number(literal));
            }
            (Field::Tensors, 4..) => self.tensor_value(literal),
            _ => {}
        }
        if self.depth == 1 {
            self.field = Field::Ignored;
        }
        self.part = Part::Text;
    }
}
