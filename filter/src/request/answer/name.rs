//! The name of what a server keeps from now on: `id` of the answer, or of the `response` in its first event.

use crate::facts::json::{Container, Place, Sink, Tokenizer};
use crate::facts::{Digest, Purpose, Word};

/// A name stands among the first fields; so much is looked at.
const MAX_BYTES: usize = 64 * 1024;

/// An answer whose name has not come.
#[derive(Debug)]
pub(crate) struct Naming {
    tokenizer: Tokenizer,
    reader: Reader,
    seen_bytes: usize,
    begun: bool,
}

/// What has been found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Name(Digest),
    /// There is none.
    Nothing,
}

#[derive(Debug)]
struct Reader {
    depth: u32,
    /// The object around, if it is at depth 2, is the response.
    in_response: bool,
    /// The value that comes is a name.
    is_name: bool,
    word: Word,
    name: Option<Digest>,
}

impl Naming {
    pub(crate) fn new() -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            reader: Reader {
                depth: 0,
                in_response: false,
                is_name: false,
                word: Word::new(),
                name: None,
            },
            seen_bytes: 0,
            begun: false,
        }
    }

    /// Takes the next piece; absent: the name may still come.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Option<Found> {
        self.seen_bytes = self.seen_bytes.saturating_add(piece.len());
        if !self.begun {
            // Before the document there are lines of an event at most.
            let at = piece.iter().position(|byte| *byte == b'{');
            piece = at.and_then(|at| piece.get(at..)).unwrap_or_default();
            self.begun = at.is_some();
        }
        let is_json = self.tokenizer.feed(piece, &mut self.reader).is_ok();
        if let Some(name) = self.reader.name {
            return Some(Found::Name(name));
        }
        let is_over = !is_json || self.tokenizer.is_done() || self.seen_bytes > MAX_BYTES;
        is_over.then_some(Found::Nothing)
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
        if self.name.is_none() && is_near && (place == Place::Key || self.is_name) {
            self.word.push(part);
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
            Place::Value if self.is_name && !word.is_empty() && self.name.is_none() => {
                self.name = Some(Digest::of(Purpose::Held, word));
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
            ": hello\n\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"object\":\"response\",\"id\":\"resp_1\"}}\n\n",
        ] {
            for cut in 0..=answer.len() {
                assert_eq!(found(answer, cut), expected, "{answer} at {cut}");
            }
        }
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
            assert_eq!(found(answer, 5), Some(Found::Nothing), "{answer}");
        }
        assert_eq!(found("", 0), None);
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(found(&long, 10), Some(Found::Nothing));
    }
}
