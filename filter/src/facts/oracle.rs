//! The reading of bodies on its own, without a proxy: for benches and fuzz targets.

use serde_json::{Map, Value};

use crate::facts::json::{Container, Place, Sink, Tokenizer};
use crate::facts::{Body, BodyFacts, Ending, Head, Length, Route};
use crate::request::answer::{Begun, Waiting};

/// Returns the estimated tokens of the prompt of a POST of `body` to `path`. `None`: the body is
/// not a JSON object, or no prompt was seen.
///
/// - `pieces`: sizes in bytes of the pieces in which the body arrives, used in turn.
#[must_use]
pub fn prompt_tokens(path: &str, body: &[u8], pieces: &[usize]) -> Option<u64> {
    facts(path, body, pieces).prompt_tokens
}

/// Returns all facts of a body as text, for comparison.
#[must_use]
pub fn describe(path: &str, body: &[u8], pieces: &[usize]) -> String {
    format!("{:?}", facts(path, body, pieces))
}

fn facts(path: &str, json: &[u8], pieces: &[usize]) -> BodyFacts {
    let head = Head {
        route: Route::of(path.as_bytes()),
        ..Head::default()
    };
    let mut body = Body::new(head.route.shape);
    cut(json, pieces).for_each(|piece| body.feed(piece));
    let ending = body.ending().unwrap_or(Ending::Unfinished);
    body.facts(ending, Length::Whole(json.len() as u64))
}

/// Returns the piece of an answer in which its content begins, and whether an error stands in its
/// place.
///
/// - `streams`: the answer is known to be streamed.
#[must_use]
pub fn answer_begins(answer: &[u8], pieces: &[usize], streams: bool) -> Option<(usize, bool)> {
    let mut waiting = Waiting::new(streams);
    let mut pieces = cut(answer, pieces).enumerate();
    pieces.find_map(|(place, piece)| Some((place, waiting.feed(piece)? == Begun::Error)))
}

/// Cuts `bytes` into pieces of these sizes, used in turn. A size of 0 counts as 1. Without sizes
/// there is one piece.
fn cut<'b>(bytes: &'b [u8], pieces: &[usize]) -> impl Iterator<Item = &'b [u8]> {
    let mut sizes = pieces.iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size = sizes.next().map_or(rest.len(), |size| (*size).max(1));
        let (piece, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Returns the document as the tokenizer sees it. `None`: the tokenizer does not accept it, or it
/// has no end.
///
/// A mark stands in place of a number of 32 bytes or more, because the tokenizer drops the rest of
/// it. A word or number that is not valid becomes `null`.
#[must_use]
pub fn document(json: &[u8], pieces: &[usize]) -> Option<Value> {
    let (mut tokenizer, mut tree) = (Tokenizer::new(), Tree::default());
    for piece in cut(json, pieces) {
        tokenizer.feed(piece, &mut tree).ok()?;
    }
    tree.root.filter(|_| tokenizer.is_done())
}

/// Stands for a number that was not kept whole.
const LONG_NUMBER: &str = "\0number";

/// Whether `ours`, as [`document`] made it, equals what serde_json made of the same text.
#[must_use]
pub fn agrees(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::String(ours), Value::Number(_)) => ours == LONG_NUMBER,
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| agrees(a, b))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let same = |(name, value)| ours.get(name).is_some_and(|ours| agrees(ours, value));
            ours.len() == theirs.len() && theirs.iter().all(same)
        }
        _ => ours == theirs,
    }
}

/// Builds the document again.
#[derive(Debug, Default)]
struct Tree {
    open: Vec<(Vec<Value>, Vec<String>)>,
    text: Vec<u8>,
    root: Option<Value>,
}

impl Tree {
    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            Some((values, _)) => values.push(value),
            None => self.root = Some(value),
        }
    }
}

impl Sink for Tree {
    fn open(&mut self, _: Container) {
        self.open.push((vec![], vec![]));
    }

    fn close(&mut self, container: Container) {
        let (values, keys) = self.open.pop().unwrap_or_default();
        self.put(match container {
            Container::Array => Value::Array(values),
            Container::Object => Value::Object(keys.into_iter().zip(values).collect::<Map<_, _>>()),
        });
    }

    fn text(&mut self, _: Place, part: &[u8]) {
        self.text.extend(part);
    }

    fn text_end(&mut self, place: Place) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        match (place, self.open.last_mut()) {
            (Place::Key, Some((_, keys))) => keys.push(text),
            _ => self.put(Value::String(text)),
        }
    }

    fn scalar(&mut self, literal: &[u8]) {
        self.put(if literal.len() >= 32 {
            Value::String(LONG_NUMBER.to_owned())
        } else {
            serde_json::from_slice(literal).unwrap_or_default()
        });
    }
}
