//! Requests that pass although they may be meant for a model: what their paths look like, so that an operator can name them in `paths`.

use std::cell::RefCell;

/// Most shapes that are told of; a client can make up any number.
const MAX_SHAPES: usize = 16;
/// Parts of a path that are kept.
const MAX_PARTS: usize = 8;
/// A longer part is a name or a number of something.
const MAX_PART_BYTES: usize = 24;
/// What servers offer beside completions: nothing waits there for a GPU.
const KNOWN: [&[u8]; 5] = [
    b"tokenize",
    b"detokenize",
    b"count_tokens",
    b"load_lora_adapter",
    b"unload_lora_adapter",
];

/// The path with `*` in the place of what differs from request to request: ids, long parts, what is no plain text. Absent: it is known
/// to be no completion path.
pub(crate) fn shape(path: &[u8]) -> Option<String> {
    let last = path.rsplit(|byte| *byte == b'/').next()?;
    if KNOWN.contains(&last) {
        return None;
    }
    let mut shape = String::new();
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty());
    for (place, part) in parts.enumerate() {
        shape.push('/');
        if place == MAX_PARTS {
            shape.push_str("...");
            break;
        }
        let word = std::str::from_utf8(part).ok().filter(|_| is_word(part));
        shape.push_str(word.unwrap_or("*"));
    }
    Some(shape)
}

/// Words have few digits, as `v1beta` and `generate2` have; ids are hexadecimal or have many.
fn is_word(part: &[u8]) -> bool {
    let digits = part.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_hex = part.len() >= 8 && part.iter().all(u8::is_ascii_hexdigit);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    part.len() <= MAX_PART_BYTES
        && digits <= 2
        && digits < part.len()
        && !is_hex
        && part.iter().all(plain)
}

/// The shapes that were told of.
#[derive(Debug, Default)]
pub(crate) struct Told(RefCell<Vec<String>>);

impl Told {
    /// Whether this one has not been told of, and may be. It counts as told now.
    pub(crate) fn is_first(&self, shape: &str) -> bool {
        let Ok(mut told) = self.0.try_borrow_mut() else {
            return false;
        };
        let is_new = told.len() < MAX_SHAPES && !told.iter().any(|other| other == shape);
        if is_new {
            told.push(shape.to_owned());
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_request_to_request_is_not_in_the_shape() {
        for (path, expected) in [
            ("/llm/v1beta/ask", "/llm/v1beta/ask"),
            ("/v1/threads/thread_8a1b2c/runs", "/v1/threads/*/runs"),
            ("/users/17/ask", "/users/*/ask"),
            ("/deadbeef/1c2d3e4f-aa/x", "/*/*/x"),
            ("/a%20b/\u{1b}[31m/ask", "/*/*/ask"),
            ("//ask/", "/ask"),
            ("/models/m:predict", "/models/m:predict"),
            ("/1/2/3/4/5/6/7/8/9", "/*/*/*/*/*/*/*/*/..."),
            ("", ""),
        ] {
            assert_eq!(shape(path.as_bytes()).as_deref(), Some(expected), "{path}");
        }
        let long = format!("/{}/x", "a".repeat(10_000));
        assert_eq!(shape(long.as_bytes()).as_deref(), Some("/*/x"));
        assert_eq!(shape(b"/v1/messages/count_tokens"), None);
    }

    #[test]
    fn each_shape_is_told_once_and_no_more_than_there_is_room_for() {
        let told = Told::default();
        let first = (0..100).filter(|n| told.is_first(&format!("/a{}", n / 2)));
        assert_eq!(first.count(), MAX_SHAPES);
    }
}
