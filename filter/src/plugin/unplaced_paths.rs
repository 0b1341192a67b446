//! Paths of requests that pass although they may be meant for a model. The log names them, so that
//! an operator can add them to `paths`.

use std::cell::RefCell;

/// The most shapes that are logged; a client can make up any number.
const MAX_SHAPES: usize = 16;
/// The most parts of a path that a shape has.
const MAX_PARTS: usize = 8;
/// A longer part is taken for a name or a number of something.
const MAX_PART_BYTES: usize = 24;
/// Last parts of paths that servers offer for other purposes than completions. No request there
/// waits for a GPU.
const KNOWN: [&[u8]; 5] = [
    b"tokenize",
    b"detokenize",
    b"count_tokens",
    b"load_lora_adapter",
    b"unload_lora_adapter",
];

/// Returns the path with `*` in place of each part that differs from request to request: ids, long
/// parts, anything but plain text. Returns `None` for a path that is known not to be a completion
/// path.
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

/// Whether a part is a word. Words have few digits, such as `v1beta` and `generate2`. Ids are
/// hexadecimal or have many digits.
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

/// The shapes that were logged.
#[derive(Debug, Default)]
pub(crate) struct Told(RefCell<Vec<String>>);

impl Told {
    /// Whether this shape is to be logged: it was not logged before, and there is room. It then
    /// counts as logged.
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
