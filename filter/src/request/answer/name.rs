//! The name of what a server keeps from now on: `id` of the answer, or of the `response` in the
//! first event that has one.

use crate::facts::json::{Container, Place, Sink, Tokenizer};
use crate::facts::{Digest, Hasher, Purpose, Word};

/// Bytes of an answer that are looked at. A name stands among the first fields.
const MAX_BYTES: usize = 64 * 1024;

/// An answer whose name has not come yet.
#[derive(Debug)]
pub(crate) struct Naming {
    tokenizer: Tokenizer,
    reader: Reader,
    seen_bytes: usize,
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a line.
    Line,
    /// Within a line, before a document.
    Before,
    Document,
    /// In the rest of a line that is not read.
    Aside,
}

/// What has been found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Name(Digest),
    /// The answer has no name.
    Nothing,
}

#[derive(Debug, Default)]
struct Reader {
    depth: u32,
    /// The object at depth 2, if there is one, is the value of `response`.
    in_response: bool,
    /// The next value is a name.
    is_name: bool,
    word: Word,
    /// Digest of the name so far. The name may have any length.
    digesting: Option<Hasher>,
    name: Option<Digest>,
}

impl Naming {
    pub(crate) fn new() -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            reader: Reader::default(),
            seen_bytes: 0,
            at: At::Line,
        }
    }

    /// Takes the next piece. Returns `None` while the name may still come.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Option<Found> {
        self.seen_bytes = self.seen_bytes.saturating_add(piece.len());
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line(line);
            if let Some(name) = self.reader.name {
                return Some(Found::Name(name));
            }
        }
        (self.seen_bytes > MAX_BYTES).then_some(Found::Nothing)
    }

    /// Takes a line, or a part of one. A document may span several lines. Each event has its own
    /// line. Anything that is not a document (comments, names of events) ends with its line.
    fn line(&mut self, line: &[u8]) {
        let mut rest = line;
        if self.at == At::Line {
            let begin = line.trim_ascii_start();
            self.at = match begin.first() {
                None => At::Line,
                Some(b':') => At::Aside,
                Some(_) => At::Before,
            };
        }
        if self.at == At::Before
            && let Some(at) = line.iter().position(|byte| *byte == b'{')
        {
            rest = line.get(at..).unwrap_or_default();
            self.at = At::Document;
        }
        if self.at == At::Document {
            let is_json = self.tokenizer.feed(rest, &mut self.reader).is_ok();
            if !is_json || self.tokenizer.is_done() {
                *self = Self {
                    at: At::Aside,
                    seen_bytes: self.seen_bytes,
                    reader: Reader {
                        name: self.reader.name,
                        ..Reader::default()
                    },
                    ..Self::new()
                };
            }
        }
        if self.at != At::Document && line.ends_with(b"\n") {
            self.at = At::Line;
        }
    }
}

impl Sink for Reader {
    fn open(&mut self, _: Container) {
        self.depth = self.depth.saturating_add(1);
        self.is_name = false;
    }

    fn close(&mut self, _: Container) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        let is_near = self.depth == 1 || self.depth == 2 && self.in_response;
        if self.name.is_some() || !is_near {
            return;
        }
        if place == Place::Key {
            self.word.push(part);
        } else if self.is_name {
            let new = || Hasher::new(Purpose::Held);
            self.digesting.get_or_insert_with(new).write(part);
        }
    }

    fn text_end(&mut self, place: Place) {
        let word = self.word.get().unwrap_or_default();
        match place {
            Place::Key => {
                self.is_name = word == b"id";
                if self.depth == 1 {
                    self.in_response = word == b"response";
                }
            }
            Place::Value if self.name.is_none() => {
                self.name = self.digesting.take().map(|hash| hash.digest());
            }
            Place::Value => {}
        }
        self.word.clear();
    }

    fn scalar(&mut self, _: &[u8]) {
        self.is_name = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answer: &str, cut: usize) -> Option<Found> {
        let (first, second) = answer.as_bytes().split_at(cut.min(answer.len()));
        let mut naming = Naming::new();
        naming.feed(first).or_else(|| naming.feed(second))
    }

    #[test]
    fn a_name_is_found_wherever_the_answer_is_cut() {
        let expected = Some(Found::Name(Digest::of(Purpose::Held, b"resp_1")));
        for answer in [
            r#"{"id":"resp_1","object":"response","output":[{"id":"msg_2"}]}"#,
            r#"{"created_at":1,"object":"response","metadata":{"id":"x"},"id": "resp_1"}"#,
            "event: response.created\ndata: {\"response\":{\"id\":\"resp_1\",\"output\":[]},\"type\":\"response.created\"}\n\n",
            ": {hello}\n\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"object\":\"response\",\"id\":\"resp_1\"}}\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\ndata: {not json}\n\ndata: {\"response\":{\"id\":\"resp_1\"}}\n\n",
            "\u{feff}\n {\n  \"object\": {},\r\n  \"id\": \"resp_1\"\n}\n",
        ] {
            for cut in 0..=answer.len() {
                assert_eq!(found(answer, cut), expected, "{answer} at {cut}");
            }
        }
    }

    #[test]
    fn a_name_may_be_long() {
        let name = "r".repeat(3_000);
        let found = found(&format!(r#"{{"id":"{name}"}}"#), 2_000);
        let expected = Digest::of(Purpose::Held, name.as_bytes());
        assert_eq!(found, Some(Found::Name(expected)));
    }

    #[test]
    fn where_there_is_none_nothing_is_found_and_not_for_ever() {
        for answer in [
            r#"{"error":{"id":"x","message":"no"}}"#,
            r#"{"id":null,"object":"response"}"#,
            r#"{"id":7}"#,
            r#"{"id":""}"#,
            "{not json",
        ] {
            assert_eq!(found(answer, 5), None, "{answer}");
        }
        assert_eq!(found("", 0), None);
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(found(&long, 10), Some(Found::Nothing));
    }
}
