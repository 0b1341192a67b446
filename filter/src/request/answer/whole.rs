//! Tells a whole answer that is an error from a completion, by its first key.

/// How errors begin, without blanks: in OpenAI's API and most servers, in FastAPI, and, with the
/// value, in vLLM, Anthropic and Bedrock. No completion of any API begins so.
const ERRORS: [&[u8]; 5] = [
    b"{\"error",
    b"{\"detail\"",
    b"{\"object\":\"error\"",
    b"{\"type\":\"error\"",
    b"{\"message\":\"",
];
/// Room for the longest of them.
const LONGEST: usize = 17;

/// The first bytes of an answer, without blanks.
#[derive(Debug, Default)]
pub(super) struct Whole {
    bytes: [u8; LONGEST],
    count: usize,
}

impl Whole {
    /// Takes the next piece. Returns whether the answer is an error, or `None` while both is
    /// possible.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Option<bool> {
        let shown = piece.iter().filter(|byte| !byte.is_ascii_whitespace());
        for byte in shown {
            *self.bytes.get_mut(self.count)? = *byte;
            self.count = self.count.saturating_add(1);
            let begun = self.bytes.get(..self.count)?;
            if ERRORS.contains(&begun) {
                return Some(true);
            }
            if !ERRORS.iter().any(|error| error.starts_with(begun)) {
                return Some(false);
            }
        }
        None
    }
}
