//! A placed request until it ends, in whatever way.
//!
//! The books are kept exact by ownership: what [`InFlight`] holds is handed back when it is dropped, and Envoy ends the context of
//! every stream, whether it ended by an answer, a reset, a timeout, a local reply or the client's departure.

use std::rc::Rc;

use trimtab_pick::{Millis, Request};

use crate::exchange::millis;
use crate::host::{self, Map};
use crate::root::Root;
use crate::worker::{Placement, Sent};

/// Envoy's response flags for an upstream that failed the request: timeout 0x4, remote reset 0x10, connect failure 0x20,
/// connection lost 0x40.
const UPSTREAM_FAILED: u64 = 0x74;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    root: Rc<Root>,
    /// Absent: it ended, or went where no books are kept.
    sent: Option<Sent>,
    request: Request,
    started: bool,
    /// The answer is complete.
    complete: bool,
    failed: bool,
}

impl InFlight {
    /// The destination header is set; the request goes out now.
    pub(crate) fn new(root: &Rc<Root>, now: Millis, placement: &Placement) -> Option<Self> {
        let sent = root.with(|worker| worker.on_sent(now, placement))?;
        Some(Self {
            root: Rc::clone(root),
            sent: Some(sent),
            request: placement.request,
            started: false,
            complete: false,
            failed: false,
        })
    }

    /// The answer's headers came, from an endpoint or from the proxy itself.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) {
        let root = Rc::clone(&self.root);
        let status = root
            .checked(host::header(Map::HttpResponseHeaders, ":status"))
            .flatten();
        self.failed = status.is_some_and(|status| status.first() == Some(&b'5'));
        self.complete = end_of_stream;
        let Some(upstream) = root.checked(host::property("upstream\0address")) else {
            return;
        };
        match (upstream, self.sent.take()) {
            // The proxy answered by itself without asking an endpoint.
            (None, Some(sent)) => self.end(sent, false),
            (Some(upstream), Some(sent)) => self.sent = self.attributed(sent, &upstream),
            (_, None) => {}
        }
    }

    /// Books the request where it really went: a retry or the proxy's own balancing may have sent it elsewhere.
    fn attributed(&self, sent: Sent, upstream: &[u8]) -> Option<Sent> {
        if sent
            .address()
            .is_none_or(|address| address.as_bytes() == upstream)
        {
            return Some(sent);
        }
        let now = millis(self.root.recent_ns());
        let address = String::from_utf8_lossy(upstream);
        self.root
            .with(|worker| worker.on_moved(now, sent, &address, &self.request))
            .flatten()
    }

    /// A part of the answer's body came. The first one means that prefill is finished; servers send headers before that.
    pub(crate) fn on_response_body(&mut self, bytes: usize, end_of_stream: bool) {
        self.complete |= end_of_stream;
        if self.started || bytes == 0 {
            return;
        }
        self.started = true;
        if let Some(sent) = &mut self.sent {
            let now = millis(self.root.recent_ns());
            self.root.with(|worker| worker.on_first_byte(now, sent));
        }
    }

    /// The stream ended. Asks the proxy why if the answer was not complete.
    pub(crate) fn on_done(mut self) {
        if !self.complete && self.sent.is_some() {
            let flags = self
                .root
                .checked(host::property("response\0flags"))
                .flatten();
            let flags = flags
                .and_then(|bytes| bytes.first_chunk::<8>().copied())
                .map_or(0, u64::from_le_bytes);
            self.failed |= flags & UPSTREAM_FAILED != 0;
        }
    }

    fn end(&self, sent: Sent, failed: bool) {
        let now = millis(self.root.recent_ns());
        self.root.with(|worker| worker.on_done(now, sent, failed));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.end(sent, self.failed);
        }
    }
}
