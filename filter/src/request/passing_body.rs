//! A body that passes after the decision. It still shows how long its prompt is and whether its
//! answer is streamed.

use crate::facts::{self, BodyFacts, Ending, Head, Rest, TAIL_BYTES, Tail};
use crate::host::{self, Buffer};
use crate::plugin::deciding::DecidingPlugin;

/// What is still looked for in the body.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Absent: the prompt's length is known, or will not be known.
    rest: Option<Rest>,
    /// Absent: whether the answer is streamed is known, or will not be known.
    tail: Option<Tail>,
    /// The answer is streamed unless the body says otherwise.
    streams_by_default: bool,
    /// Bytes that have come.
    bytes: u64,
    /// The body's length by `Content-Length`.
    length: Option<u64>,
}

impl Passing {
    /// For a body of which `bytes` bytes have come. `facts` is what was read of it.
    pub(crate) fn new(head: &Head, facts: &BodyFacts, bytes: u64) -> Self {
        let streams = facts::streams(head, Some(facts));
        let is_cut = facts.ending == Ending::Cap && streams.is_none();
        Self {
            rest: facts.rest,
            tail: is_cut.then(|| Tail::new(head.route.shape)),
            streams_by_default: head.route.streams_by_default,
            bytes,
            length: head.content_length,
        }
    }

    /// Whether anything is still looked for.
    pub(crate) fn tells(&self) -> bool {
        self.rest.is_some() || self.tail.is_some()
    }

    /// Handles a new part of `bytes` bytes.
    pub(crate) fn came(&mut self, plugin: &DecidingPlugin, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.keep_end(plugin, bytes);
    }

    /// Keeps what may belong to the end of the body, from the part at hand, which has `bytes`
    /// bytes.
    pub(crate) fn keep_end(&mut self, plugin: &DecidingPlugin, bytes: usize) {
        let Some(tail) = &mut self.tail else { return };
        let is_early = |length| self.bytes.saturating_add(TAIL_BYTES as u64) <= length;
        if bytes == 0 || self.length.is_some_and(is_early) {
            return;
        }
        let wanted = bytes.min(TAIL_BYTES);
        let end = host::buffer(
            Buffer::HttpRequestBody,
            bytes.saturating_sub(wanted),
            wanted,
        );
        match plugin.checked(end).flatten() {
            Some(end) => tail.push(&end),
            None => self.tail = None,
        }
    }

    /// Returns whether the answer of a body that has ended is to be streamed. `None`: known before,
    /// or the body does not say it.
    pub(crate) fn stream(&self) -> Option<bool> {
        let said = self.tail.as_ref()?.stream();
        said.or_else(|| self.streams_by_default.then_some(true))
    }

    /// Returns the prompt tokens of a body that has ended. `None`: known before, or unknowable.
    pub(crate) fn prompt_tokens(&self) -> Option<u64> {
        let rest = self.rest.as_ref()?;
        Some(rest.prompt_tokens(self.bytes))
    }
}
