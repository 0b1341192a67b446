//! The names of what a server keeps, as its answer gives them: `id` of the answer, or of the
//! `response` in an event; `id` and `container_id` of the items that the model put out; the files
//! with the results of a batch; a bare string (SGLang's sessions).

use crate::facts::json::{Container, Place, Sink, Tokenizer};
use crate::facts::{Digest, Hasher, Purpose, Word};

/// Bytes of an answer that are looked at. Names stand among the first fields.
const MAX_BYTES: usize = 64 * 1024;
/// Most names of one answer.
const MOST: usize = 16;

/// An answer whose names are looked for.
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

/// What the value of the last key at the upper level holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    #[default]
    Other,
    /// A list of items.
    Output,
    /// One item.
    Item,
}

#[derive(Debug, Default)]
struct Reader {
    depth: u32,
    /// The object at depth 2, if there is one, is the value of `response`.
    in_response: bool,
    part: Part,
    /// The next value is a name.
    is_name: bool,
    word: Word,
    /// Digest of the name so far. The name may have any length.
    digesting: Option<Hasher>,
    /// The names, each once.
    names: Vec<Digest>,
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

    /// Takes the next piece. Returns the names in it that are new.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> &[Digest] {
        let known = self.reader.names.len();
        self.seen_bytes = self.seen_bytes.saturating_add(piece.len());
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line(line);
        }
        self.reader.names.get(known..).unwrap_or_default()
    }

    /// Whether enough has been read.
    pub(crate) fn is_over(&self) -> bool {
        self.seen_bytes > MAX_BYTES || self.reader.names.len() >= MOST
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
            && let Some(at) = line.iter().position(|byte| matches!(byte, b'{' | b'"'))
        {
            rest = line.get(at..).unwrap_or_default();
            self.at = At::Document;
        }
        if self.at == At::Document {
            let is_json = self.tokenizer.feed(rest, &mut self.reader).is_ok();
            if !is_json || self.tokenizer.is_done() {
                self.at = At::Aside;
                self.tokenizer = Tokenizer::new();
                self.reader = Reader {
                    names: std::mem::take(&mut self.reader.names),
                    ..Reader::default()
                };
            }
        }
        if self.at != At::Document && line.ends_with(b"\n") {
            self.at = At::Line;
        }
    }
}

impl Reader {
    /// Handles a complete key.
    fn on_key(&mut self) {
        let word = self.word.get().unwrap_or_default();
        if self.depth == 1 {
            self.in_response = word == b"response";
        }
        let upper = 1 + u32::from(self.in_response);
        let below = self.depth.saturating_sub(upper);
        if below == 0 {
            self.part = match word {
                b"output" => Part::Output,
                b"item" => Part::Item,
                _ => Part::Other,
            };
        }
        self.is_name = match (below, self.part) {
            (0, _) => matches!(word, b"id" | b"output_file_id" | b"error_file_id"),
            (1, Part::Item) | (2, Part::Output) => matches!(word, b"id" | b"container_id"),
            _ => false,
        };
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
        if place == Place::Key {
            self.word.push(part);
        } else if self.is_name || self.depth == 0 {
            let new = || Hasher::new(Purpose::Held);
            self.digesting.get_or_insert_with(new).write(part);
        }
    }

    fn text_end(&mut self, place: Place) {
        if place == Place::Key {
            self.on_key();
        } else if let Some(name) = self.digesting.take().map(|hash| hash.digest())
            && !self.names.contains(&name)
            && self.names.len() < MOST
        {
            self.names.push(name);
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

    /// Returns the names in an answer that comes in two parts.
    fn found(answer: &str, cut: usize) -> Vec<Digest> {
        let (first, second) = answer.as_bytes().split_at(cut.min(answer.len()));
        let mut naming = Naming::new();
        let mut names = naming.feed(first).to_vec();
        names.extend(naming.feed(second));
        names
    }

    fn digests(names: &[&str]) -> Vec<Digest> {
        let digest = |name: &&str| Digest::of(Purpose::Held, name.as_bytes());
        names.iter().map(digest).collect()
    }

    #[test]
    fn names_are_found_wherever_the_answer_is_cut() {
        for (answer, names) in [
            (
                r#"{"id":"resp_1","object":"response","output":[{"id":"msg_2"}]}"#,
                &["resp_1", "msg_2"][..],
            ),
            (
                r#"{"created_at":1,"object":"response","metadata":{"id":"x"},"id": "resp_1"}"#,
                &["resp_1"],
            ),
            (
                r#"{"output":[{"type":"code_interpreter_call","id":"ci_1","outputs":[{"id":"no"}],"container_id":"cntr_1"},{"content":[{"id":"no"}],"id":"msg_1"}],"tools":[{"id":"no"}],"input":[{"id":"no"}],"item":"x","id":"resp_1"}"#,
                &["ci_1", "cntr_1", "msg_1", "resp_1"],
            ),
            (
                r#"{"id":"batch_1","input_file_id":"file-0","output_file_id":"file-1","error_file_id":null,"metadata":{"output_file_id":"no"}}"#,
                &["batch_1", "file-1"],
            ),
            (r#""3f2a""#, &["3f2a"]),
            (
                "event: response.created\ndata: {\"response\":{\"id\":\"resp_1\",\"output\":[]},\"type\":\"response.created\"}\n\nevent: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"id\":\"msg_1\",\"content\":[]}}\n\ndata: {\"item_id\":\"no\",\"delta\":\"x\"}\n\ndata: {\"response\":{\"id\":\"resp_1\",\"output\":[{\"id\":\"msg_1\"},{\"id\":\"msg_2\"}]}}\n\n",
                &["resp_1", "msg_1", "msg_2"],
            ),
            (
                ": {hello}\n\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"object\":\"response\",\"id\":\"resp_1\"}}\n\n",
                &["resp_1"],
            ),
            (
                "event: ping\ndata: {\"type\":\"ping\"}\n\ndata: {not json}\n\ndata: {\"response\":{\"id\":\"resp_1\"}}\n\n",
                &["resp_1"],
            ),
            (
                "\u{feff}\n {\n  \"object\": {},\r\n  \"id\": \"resp_1\"\n}\n",
                &["resp_1"],
            ),
        ] {
            for cut in 0..=answer.len() {
                assert_eq!(found(answer, cut), digests(names), "{answer} at {cut}");
            }
        }
    }

    #[test]
    fn a_name_may_be_long() {
        let name = "r".repeat(3_000);
        let found = found(&format!(r#"{{"id":"{name}"}}"#), 2_000);
        assert_eq!(found, digests(&[&name]));
    }

    #[test]
    fn where_there_is_none_nothing_is_found_and_not_for_ever() {
        for answer in [
            r#"{"error":{"id":"x","message":"no"}}"#,
            r#"{"id":null,"object":"response"}"#,
            r#"{"id":7}"#,
            r#"{"id":""}"#,
            "{not json",
            "",
        ] {
            assert_eq!(found(answer, 5), [], "{answer}");
        }
        let mut naming = Naming::new();
        assert!(!naming.is_over());
        assert_eq!(naming.feed("x".repeat(MAX_BYTES + 1).as_bytes()), []);
        assert!(naming.is_over());
        let items: Vec<String> = (0..1_000).map(|n| format!("{{\"id\":\"{n}\"}}")).collect();
        let mut naming = Naming::new();
        let many = format!("{{\"output\":[{}]}}", items.join(","));
        assert_eq!(naming.feed(many.as_bytes()).len(), MOST);
        assert!(naming.is_over());
    }
}
