//! Server-sent events: each line is a field with its value, or a comment. A blank line ends an
//! event.

use super::Begun;
use super::event::{Event, SIGNS_OF_LIFE};
use crate::facts::Word;

/// The names of the known fields.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

/// What a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    /// A comment, or a field whose value is not read.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// In a field's name.
    #[default]
    Name,
    /// After the colon, where one space does not count.
    Space(Field),
    Value(Field),
}

/// The events of an answer.
#[derive(Debug)]
pub(super) struct Lines {
    at: At,
    /// The name of the field, then that of the event.
    word: Word,
    /// A first line has shown that these are events.
    is_sure: bool,
    /// The last byte was a carriage return. A line feed that follows belongs to the same line end.
    after_cr: bool,
    /// The event's data means nothing: the event only keeps the connection open.
    is_sign_of_life: bool,
    data: Event,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            at: At::Name,
            word: Word::new(),
            is_sure: false,
            after_cr: false,
            is_sign_of_life: false,
            data: Event::default(),
        }
    }
}

impl Lines {
    /// Whether a line has shown that these are events.
    pub(super) fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// Takes the next piece. Returns `None` while there is no content.
    pub(super) fn feed(&mut self, mut piece: &[u8]) -> Option<Begun> {
        while let Some((&byte, rest)) = piece.split_first() {
            let is_second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
            piece = match self.at {
                _ if is_second_half => rest,
                At::Space(field) => {
                    self.at = At::Value(field);
                    if byte == b' ' { rest } else { piece }
                }
                _ if matches!(byte, b'\r' | b'\n') => {
                    self.after_cr = byte == b'\r';
                    if let Some(begun) = self.end_line() {
                        return Some(begun);
                    }
                    rest
                }
                At::Name => {
                    if !self.name(byte) {
                        return Some(Begun::Content);
                    }
                    rest
                }
                At::Value(field) => {
                    let end = memchr::memchr2(b'\n', b'\r', piece).unwrap_or(piece.len());
                    let (part, rest) = piece.split_at_checked(end).unwrap_or((piece, &[]));
                    if let Some(begun) = self.value(field, part) {
                        return Some(begun);
                    }
                    rest
                }
            };
        }
        None
    }

    /// Takes a byte of a field's name. Returns `false` if these are not events.
    fn name(&mut self, byte: u8) -> bool {
        if byte == b':' {
            let field = match self.word.get() {
                Some(b"data") => Field::Data,
                Some(b"event") => Field::Event,
                Some(b"id" | b"retry" | b"") => Field::Other,
                _ if self.is_sure => Field::Other,
                _ => return false,
            };
            self.is_sure = true;
            self.word.clear();
            self.at = At::Space(field);
            return true;
        }
        self.word.push(&[byte]);
        let begins = |name: &[u8]| FIELDS.iter().any(|field| field.starts_with(name));
        self.is_sure || self.word.get().is_some_and(begins)
    }

    fn value(&mut self, field: Field, part: &[u8]) -> Option<Begun> {
        match field {
            Field::Data if self.is_sign_of_life => None,
            Field::Data => self.data.feed(part),
            Field::Event => {
                self.word.push(part);
                None
            }
            Field::Other => None,
        }
    }

    fn end_line(&mut self) -> Option<Begun> {
        let mut begun = None;
        match self.at {
            // A blank line.
            At::Name if self.word.get() == Some(b"") => {
                self.data.clear();
                self.is_sign_of_life = false;
            }
            At::Value(Field::Event) => {
                let name = self.word.get().unwrap_or_default();
                let is_sign = |sign: &&[u8]| sign.eq_ignore_ascii_case(name);
                self.is_sign_of_life = SIGNS_OF_LIFE.iter().any(is_sign);
                begun = (name == b"error").then_some(Begun::Error);
            }
            _ => {}
        }
        self.word.clear();
        self.at = At::Name;
        begun
    }
}
