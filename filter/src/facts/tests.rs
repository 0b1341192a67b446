//! The tokenizer against serde_json, and the facts of real request shapes.

mod counts;
mod differential;
mod isolation;
mod odd;
mod opening;
mod requests;
mod settled;
mod shapes;
mod tokens;
mod traces;
mod unseen;

use super::head::tests::head;
use super::{Body, BodyFacts, Ending, Head, Length};

/// The facts of the first `seen` bytes of a body, read in pieces of these sizes, used in turn.
fn read(head: &Head, json: &[u8], seen: usize, pieces: &[usize]) -> BodyFacts {
    let mut body = Body::new(head.route.shape);
    let mut rest = &json[..seen.min(json.len())];
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*piece).clamp(1, rest.len()));
        body.feed(chunk);
        rest = after;
    }
    let ended = if seen < json.len() {
        Ending::Cap
    } else {
        Ending::Unfinished
    };
    let ending = body.ending().unwrap_or(ended);
    body.facts(ending, Length::Whole(json.len() as u64))
}

/// Text of that many bytes; the same for the same seed.
fn words(seed: usize, bytes: usize) -> String {
    (0..)
        .map(|i| format!("w{} ", (i * 7 + seed * 13) % 997))
        .take(bytes / 3)
        .collect::<String>()[..bytes]
        .into()
}
