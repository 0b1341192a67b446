//! The end of a body of which only the beginning was read. It shows whether the answer is to be
//! streamed.
//!
//! Clients write `stream` after the messages, so it is out of sight if the prompt is long. A body's
//! last bytes pass after the decision, but before the answer. What they say still corrects the
//! books.

use super::body::{Body, Ending, Length};
use super::path::Shape;

/// Bytes of a body's end that are kept: enough for `stream`, and for sampling parameters and a few
/// tools after it.
pub(crate) const TAIL_BYTES: usize = 8 * 1024;
/// The most places that are tried, from the end backwards.
const TRIES: usize = 4;
/// The key, as every client writes it.
const KEY: &[u8] = b"\"stream\"";

/// The last bytes of what has passed, at most [`TAIL_BYTES`].
#[derive(Debug)]
pub(crate) struct Tail {
    shape: Shape,
    bytes: Vec<u8>,
}

impl Tail {
    /// For a body to a path of that shape.
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            bytes: Vec::new(),
        }
    }

    /// More of the body has passed; `end` is the end of it.
    pub(crate) fn push(&mut self, end: &[u8]) {
        let kept = TAIL_BYTES.saturating_sub(end.len());
        let old = self.bytes.len().saturating_sub(kept);
        self.bytes.drain(..old);
        let new = end.len().saturating_sub(TAIL_BYTES);
        self.bytes
            .extend_from_slice(end.get(new..).unwrap_or_default());
    }

    /// Returns `stream` of a body that has ended. `None`: it is not among the last bytes.
    pub(crate) fn stream(&self) -> Option<bool> {
        let fields = self.bytes.trim_ascii_end().strip_suffix(b"}")?;
        let windows = fields.windows(KEY.len()).enumerate().rev();
        let mut places = windows.filter(|(_, window)| *window == KEY).take(TRIES);
        places.find_map(|(at, _)| self.stream_at(fields, at))
    }

    /// Returns the value of the key at `at`, if it is a key of the body itself. After such a key
    /// only fields of one object follow, up to the end of the body. Within a text a backslash would
    /// stand before the key's quote. In an object further inside, that object would end too early.
    fn stream_at(&self, fields: &[u8], at: usize) -> Option<bool> {
        let (before, rest) = fields.split_at_checked(at)?;
        if before.ends_with(b"\\") {
            return None;
        }
        let mut body = Body::new(self.shape);
        body.feed(b"{");
        body.feed(rest);
        if body.is_over() {
            return None;
        }
        body.feed(b"}");
        let facts = body.facts(Ending::Whole, Length::Whole(0));
        facts.stream.filter(|_| body.is_over())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn of(body: &str, piece: usize) -> Option<bool> {
        let mut tail = Tail::new(Shape::Fields);
        body.as_bytes().chunks(piece).for_each(|end| tail.push(end));
        assert!(tail.bytes.len() <= TAIL_BYTES);
        tail.stream()
    }

    #[test]
    fn what_stands_at_the_top_level_behind_the_prompt_is_found_and_nothing_else() {
        let long = "x".repeat(3 * TAIL_BYTES);
        let tool = r#"{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"stream":{"type":"boolean"}}}}}"#;
        for (end, expected) in [
            (r#""}],"stream":true}"#, Some(true)),
            (
                "\"}],\"model\": \"m\",\n \"stream\" : true }\r\n",
                Some(true),
            ),
            (r#""}],"stream":false,"stop":["}"]}"#, Some(false)),
            (r#""}],"stream":true,"stream":false}"#, Some(false)),
            (
                r#""}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.7}"#,
                Some(true),
            ),
            (
                &format!(r#""}}],"stream":true,"tools":[{tool},{tool}]}}"#),
                Some(true),
            ),
            (&format!(r#""}}],"tools":[{tool}],"model":"m"}}"#), None),
            (r#""}],"metadata":{"stream":true}}"#, None),
            (r#""}],"metadata":{"stream":true},"n":{"a":1}}"#, None),
            (r#""}],"metadata":[{"stream":true}],"n":1}"#, None),
            (r#" say \"stream\":true,\"a\":\"b"}]}"#, None),
            (r#""}],"stream":"yes"}"#, None),
            (r#""}],"stream":null}"#, None),
            (r#""}],"stop":["stream"]}"#, None),
            (r#""}],"stream":true"#, None),
            (r#""}],"stream":true}}"#, None),
            ("", None),
            ("}", None),
        ] {
            let body = format!(r#"{{"messages":[{{"content":"{long}{end}"#);
            for piece in [1, 7, 5_000, TAIL_BYTES, body.len()] {
                assert_eq!(of(&body, piece), expected, "{end} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_body_full_of_the_key_is_given_up() {
        let body = format!(
            r#"{{"stream":true,{}"a":1}}"#,
            r#""b":{"stream":1},"#.repeat(5)
        );
        assert_eq!(of(&body, 100), None);
    }
}
