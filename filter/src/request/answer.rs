//! Finds where the content of an answer begins.
//!
//! Comes in: an answer's body, piece by piece, from its beginning. Goes out: whether the model has
//! begun to write. Servers and gateways send much before that, while prefill still runs: comments
//! and pings that keep a connection open, events that say that a response was created, a chunk with
//! nothing but the assistant's role. Never: kept text, memory that grows, an endless wait.
//!
//! The first bytes show the form. Reading `content-type` would cost a hostcall. Text of another
//! form is content. Compressed or other binary data hides where its content begins. A whole answer
//! begins with its first key, unless that is an error's.

mod event;
pub(crate) mod fault;
mod lines;
mod name;
mod whole;

use event::Event;
use lines::Lines;
pub(crate) use name::Naming;
use whole::Whole;

/// Bytes of an answer that are looked at. What comes after them counts as content. The limit is
/// high because a response that was created repeats its instructions and tools.
const MAX_BYTES: usize = 1 << 20;

/// What an answer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// What the model wrote: text, reasoning, a tool call, or that it stopped. Also anything that
    /// is not known to be something else.
    Content,
    /// An error instead of content.
    Error,
    /// Binary data: compressed, for example. When the model began to write is not known.
    Hidden,
}

/// An answer whose content has not begun.
#[derive(Debug)]
pub(crate) struct Waiting {
    form: Form,
    seen_bytes: usize,
    streams: bool,
}

#[derive(Debug)]
enum Form {
    /// No byte has shown the form yet.
    Unknown,
    /// One JSON document, the whole answer.
    Whole(Whole),
    /// Server-sent events.
    Events(Box<Lines>),
    /// JSON documents; each is an event.
    Documents(Box<Event>),
}

impl Waiting {
    /// For an answer that has not begun to arrive.
    ///
    /// - `streams`: the answer is known to be streamed, so one document is not all of it.
    pub(crate) fn new(streams: bool) -> Self {
        Self {
            form: Form::Unknown,
            seen_bytes: 0,
            streams,
        }
    }

    /// The answer is known to be streamed.
    pub(crate) fn expect_stream(&mut self) {
        self.streams = true;
    }

    /// Whether a line has shown that the answer is a stream of events.
    pub(crate) fn has_events(&self) -> bool {
        matches!(&self.form, Form::Events(lines) if lines.is_sure())
    }

    /// Takes the next piece. Returns `None` while the content has not begun.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Option<Begun> {
        self.seen_bytes = self.seen_bytes.saturating_add(piece.len());
        let piece = match self.form {
            Form::Unknown => self.begin(piece)?,
            _ => piece,
        };
        let begun = match &mut self.form {
            Form::Unknown if is_text(piece) => Some(Begun::Content),
            Form::Unknown => Some(Begun::Hidden),
            Form::Whole(whole) => whole.feed(piece).map(|is_error| match is_error {
                true => Begun::Error,
                false => Begun::Content,
            }),
            Form::Events(lines) => lines.feed(piece),
            Form::Documents(event) => event.feed_lines(piece),
        };
        begun.or_else(|| (self.seen_bytes > MAX_BYTES).then_some(Begun::Content))
    }

    /// Finds the form. The form stays unknown if it is neither of the two.
    ///
    /// Returns the rest of `piece`. Returns `None` if only blanks (which also keep a connection
    /// open) and a byte order mark have come.
    fn begin<'p>(&mut self, piece: &'p [u8]) -> Option<&'p [u8]> {
        let is_blank =
            |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf);
        let at = piece.iter().position(|byte| !is_blank(byte));
        let Some(rest) = at.and_then(|at| piece.get(at..)) else {
            let is_over = self.seen_bytes > MAX_BYTES;
            return is_over.then_some(piece);
        };
        match rest.first() {
            Some(b':' | b'd' | b'e' | b'i' | b'r') => self.form = Form::Events(Box::default()),
            Some(b'{' | b'[') if self.streams => self.form = Form::Documents(Box::default()),
            Some(b'{') => self.form = Form::Whole(Whole::default()),
            _ => {}
        }
        Some(rest)
    }
}

/// Returns whether bytes are UTF-8 text as far as they go: the last character may be cut.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !bytes.iter().any(is_control)
}

#[cfg(test)]
mod tests;
