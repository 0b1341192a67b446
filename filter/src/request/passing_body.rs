//! A body that passes behind the decision, and still tells how long its prompt is and whether its answer is streamed.

use crate::facts::{self, BodyFacts, Ending, Head, Rest, TAIL_BYTES, Tail};
use crate::host::{self, Buffer};
use crate::plugin::deciding::DecidingPlugin;

/// What is still looked for.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Absent: its prompt's length is known, or will not be.
    rest: Option<Rest>,
    /// Absent: whether the answer is streamed is known, or will not be.
    tail: Option<Tail>,
    /// Where the body does not say it.
    streams_by_default: bool,
    /// Bytes that came.
    bytes: u64,
    /// By `Content-Length`.
    length: Option<u64>,
}

impl Passing {
    /// Of a body of which so many bytes came, and what of them was read told `facts`.
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

    /// Whether anything is.
    pub(crate) fn tells(&self) -> bool {
        self.rest.is_some() || self.tail.is_some()
    }

    /// A new part came, of that many bytes.
    pub(crate) fn came(&mut self, plugin: &DecidingPlugin, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.keep_end(plugin, bytes);
    }

    /// Keeps what of the part at hand, of that many bytes, may be among the body's last.
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

    /// Of a body that has ended, whether the answer is to be streamed; absent: known before, or not said.
    pub(crate) fn stream(&self) -> Option<bool> {
        let said = self.tail.as_ref()?.stream();
        said.or_else(|| self.streams_by_default.then_some(true))
    }

    /// Of a body that has ended, the tokens of its prompt; absent: known before, or not to be known.
    pub(crate) fn prompt_tokens(&self) -> Option<u64> {
        let rest = self.rest.as_ref()?;
        Some(rest.prompt_tokens(self.bytes))
    }
}
