//! A request body that is being read before the decision.

use crate::facts::{Body, BodyFacts, Ending, Head, Length};
use crate::host::{self, Buffer};
use crate::plugin::deciding::DecidingPlugin;

/// Bytes that are fetched at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// A request whose body is being read. Its headers are held back meanwhile.
#[derive(Debug)]
pub(crate) struct BodyReading {
    pub(crate) head: Head,
    body: Body,
    pub(crate) seen_bytes: usize,
    /// Bytes that have come. At most as many as allowed were read.
    pub(crate) came_bytes: u64,
    /// The tick at which the reading began.
    pub(crate) since: u64,
    /// Bytes that are read at most, if that is more than `decide_after_bytes`.
    limit: usize,
}

impl BodyReading {
    /// Begins the reading at tick `since`, when only the headers have come.
    pub(crate) fn new(head: Head, since: u64) -> Self {
        let body = Body::new(head.route.shape);
        Self {
            head,
            body,
            seen_bytes: 0,
            came_bytes: 0,
            since,
            limit: 0,
        }
    }

    /// Reads the new part of the body, which has `bytes` bytes. Returns `None` if more should be
    /// read.
    pub(crate) fn read(&mut self, plugin: &DecidingPlugin, bytes: usize) -> Option<Ending> {
        self.came_bytes = self.came_bytes.saturating_add(bytes as u64);
        let mut from = 0_usize;
        loop {
            let left = bytes.saturating_sub(from);
            let wanted = left.min(self.room(plugin)).min(PIECE_BYTES);
            if wanted == 0 {
                break;
            }
            let chunk = plugin.checked(host::buffer(Buffer::HttpRequestBody, from, wanted));
            let Some(chunk) = chunk.flatten().filter(|chunk| !chunk.is_empty()) else {
                return Some(Ending::Unfinished);
            };
            from = from.saturating_add(chunk.len());
            self.seen_bytes = self.seen_bytes.saturating_add(chunk.len());
            self.body.feed(&chunk);
        }
        let is_full = self.room(plugin) == 0;
        self.body
            .ending()
            .or_else(|| is_full.then_some(Ending::Cap))
    }

    /// Returns what was read.
    ///
    /// - `is_all`: no part of the body is still to come.
    pub(crate) fn facts(&self, ending: Ending, is_all: bool) -> BodyFacts {
        let length = match self.head.content_length {
            Some(length) => Length::Whole(length),
            None if is_all => Length::Whole(self.came_bytes),
            None => Length::AtLeast(self.came_bytes),
        };
        self.body.facts(ending, length)
    }

    /// Returns how many more bytes may be read before the decision.
    ///
    /// The limit doubles while only system prompt and tools were read, which many conversations
    /// begin with. Every turn of a conversation stops at the same byte, so that its opening has the
    /// same digest.
    fn room(&mut self, plugin: &DecidingPlugin) -> usize {
        let (config, long) = (&plugin.config, plugin.holding.long_bytes());
        let mut limit = self.limit.max(config.decide_after_bytes);
        let next = limit.saturating_mul(2);
        if self.seen_bytes >= limit
            && next <= config.read_on_bytes.min(long)
            && self.head.session.is_none()
            && self.body.is_shared_only()
        {
            limit = next;
        }
        self.limit = limit;
        if self.body.may_name(&self.head) {
            limit = limit.max(long);
        }
        limit.saturating_sub(self.seen_bytes)
    }
}
