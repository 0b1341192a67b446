//! One event of an answer: whether its JSON holds content.

use super::Begun;
use crate::facts::json::{Container, Place, Sink, Tokenizer};
use crate::facts::{Names, Word, meaning};

/// Texts and names of events that only keep the connection open.
pub(super) const SIGNS_OF_LIFE: [&[u8]; 6] = [
    b"ping",
    b"heartbeat",
    b"keepalive",
    b"keep-alive",
    b"keep_alive",
    b"null",
];

/// One event. Anything but an object or a list is content: plain text, or `[DONE]`.
#[derive(Debug)]
pub(super) struct Event {
    json: Tokenizer,
    fields: Fields,
    is_json: bool,
}

impl Default for Event {
    fn default() -> Self {
        Self {
            json: Tokenizer::new(),
            fields: Fields::default(),
            is_json: false,
        }
    }
}

impl Event {
    /// Takes the next piece of the event's text. Returns `None` while there is no content.
    pub(super) fn feed(&mut self, mut piece: &[u8]) -> Option<Begun> {
        if !self.is_json {
            let is_first = self.fields.name.get() == Some(b"");
            if is_first {
                piece = piece.trim_ascii_start();
            }
            match piece.first()? {
                b'{' | b'[' if is_first => self.is_json = true,
                _ => return self.plain(piece),
            }
        }
        let read = self.json.feed(piece, &mut self.fields);
        let broken = read.is_err().then_some(Begun::Content);
        self.fields.found.or(broken)
    }

    /// Takes a piece of an event that is not JSON. It is content, unless it only keeps the
    /// connection open.
    fn plain(&mut self, piece: &[u8]) -> Option<Begun> {
        self.fields.name.push(piece);
        let text = self.fields.name.get();
        let is_sign = text.is_some_and(|text| {
            let mut begins = SIGNS_OF_LIFE
                .iter()
                .filter_map(|sign| sign.get(..text.len()));
            begins.any(|begin| begin.eq_ignore_ascii_case(text))
        });
        (!is_sign).then_some(Begun::Content)
    }

    /// Takes the next piece of a text that holds one event after another. Each event begins on a
    /// new line.
    pub(super) fn feed_lines(&mut self, piece: &[u8]) -> Option<Begun> {
        piece
            .split_inclusive(|byte| *byte == b'\n')
            .find_map(|line| {
                let begun = self.feed(line);
                if self.json.is_done() && line.ends_with(b"\n") {
                    self.clear();
                }
                begun
            })
    }

    /// Begins another event.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What the value of a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Class {
    /// The value means nothing by itself. Values inside it may.
    #[default]
    Other,
    /// A text that is not empty is content.
    Text,
    /// A text that is not empty is content. So is an object, whatever is in it.
    Whole,
    /// Numbers are content: tokens.
    Numbers,
    /// A text that is not empty, or an object, is an error.
    Error,
    /// Nothing in the value is content: it repeats the request, or says what is known about it.
    Repeated,
}

impl Class {
    /// The field names of each class.
    const NAMES: [Names<Self>; 5] = [
        (
            &[
                b"content",
                b"text",
                b"delta",
                b"reasoning_content",
                b"reasoning",
                b"thinking",
                b"refusal",
                b"arguments",
                b"partial_json",
                b"transcript",
                b"tool_plan",
                b"text_output",
                b"output_text",
                b"generated_text",
                b"response",
                b"completion",
                b"b64_json",
                b"partial_image_b64",
                b"finish_reason",
                b"finishReason",
                b"stop_reason",
            ],
            Self::Text,
        ),
        (
            &[
                b"tool_calls",
                b"function_call",
                b"functionCall",
                b"audio",
                b"inlineData",
                b"executableCode",
            ],
            Self::Whole,
        ),
        (&[b"token_ids", b"output_ids"], Self::Numbers),
        (&[b"error"], Self::Error),
        (
            &[
                b"instructions",
                b"tools",
                b"metadata",
                b"prompt",
                b"format",
                b"usage",
                b"prompt_filter_results",
                b"request",
                b"input",
                b"messages",
                b"queue",
                b"status",
                b"progress",
            ],
            Self::Repeated,
        ),
    ];

    /// The class of a field name. The names are those of the APIs of OpenAI, Anthropic, Gemini and
    /// Cohere, and of vLLM, SGLang, TGI, Triton, llama.cpp, Ollama and LMDeploy.
    fn of(name: &[u8]) -> Self {
        meaning(&Self::NAMES, name).unwrap_or(Self::Other)
    }
}

/// Looks for content in the fields of a document.
#[derive(Debug)]
struct Fields {
    /// The name that is being read.
    name: Word,
    /// Class of the value at hand; in a list, of each value in it.
    class: Class,
    depth: u32,
    /// Depth of the container whose content is only repeated; 0: in none.
    repeated: u32,
    found: Option<Begun>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            name: Word::new(),
            class: Class::Other,
            depth: 0,
            repeated: 0,
            found: None,
        }
    }
}

impl Fields {
    fn find(&mut self, begun: Begun) {
        if self.repeated == 0 {
            self.found = self.found.or(Some(begun));
        }
    }
}

impl Sink for Fields {
    fn open(&mut self, container: Container) {
        self.depth = self.depth.saturating_add(1);
        match (self.class, container) {
            (Class::Repeated, _) if self.repeated == 0 => self.repeated = self.depth,
            (Class::Whole, Container::Object) => self.find(Begun::Content),
            (Class::Error, Container::Object) => self.find(Begun::Error),
            _ => {}
        }
        if container == Container::Object {
            self.class = Class::Other;
        }
    }

    fn close(&mut self, _: Container) {
        if self.depth == self.repeated {
            self.repeated = 0;
        }
        self.depth = self.depth.saturating_sub(1);
        self.class = Class::Other;
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        match (place, self.class) {
            (Place::Key, _) => self.name.push(part),
            (Place::Value, Class::Text | Class::Whole) => self.find(Begun::Content),
            (Place::Value, Class::Error) => self.find(Begun::Error),
            (Place::Value, _) => {}
        }
    }

    fn text_end(&mut self, place: Place) {
        if place == Place::Key {
            self.class = self.name.get().map_or(Class::Other, Class::of);
            self.name.clear();
        }
    }

    fn scalar(&mut self, literal: &[u8]) {
        if self.class == Class::Numbers && literal.first().is_some_and(u8::is_ascii_digit) {
            self.find(Begun::Content);
        }
    }
}
