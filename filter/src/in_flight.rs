//! A placed request until it ends, in whatever way.
//!
//! The books are kept exact by ownership: what [`InFlight`] holds is handed back when it is dropped, and Envoy ends the context of
//! every stream, whether it ended by an answer, a reset, a timeout, a local reply or the client's departure.
//!
//! Where a request really went is asked of the proxy for some answers only ([`Watch`](crate::watch::Watch)): the answer's headers are the
//! first moment at which it is known, a later chunk or the end the second chance.

use std::rc::Rc;

use trimtab_pick::{Millis, Request};

use crate::destination;
use crate::exchange::{self, millis};
use crate::host::{self, Map};
use crate::root::Root;
use crate::worker::{Placement, Sent};

/// Envoy's response flags for an upstream that failed the request: timeout 0x4, remote reset 0x10, connect failure 0x20,
/// connection lost 0x40.
const UPSTREAM_FAILED: u64 = 0x74;
/// A completion takes more bytes than that, in any API; an error, the proxy's own above all, seldom does.
const SHORT_ANSWER_BYTES: usize = 192;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    root: Rc<Root>,
    /// Absent: it ended, or went where no books are kept.
    sent: Option<Sent>,
    request: Request,
    started: bool,
    /// The proxy was asked what became of it.
    asked: bool,
    answer_bytes: usize,
    /// The answer is complete.
    complete: bool,
    failed: bool,
}

impl InFlight {
    /// The destination header is set; the request goes out now.
    pub(crate) fn new(root: &Rc<Root>, now: Millis, placement: &Placement) -> Option<Self> {
        let sent = root.with(|worker| {
            let (sent, is_news) = worker.on_sent(now, placement);
            if is_news {
                exchange::on_news(root, worker);
            }
            sent
        })?;
        Some(Self {
            root: Rc::clone(root),
            sent: Some(sent),
            request: placement.request,
            started: false,
            asked: false,
            answer_bytes: 0,
            complete: false,
            failed: false,
        })
    }

    fn now(&self) -> Millis {
        millis(self.root.recent_ns())
    }

    /// The answer's headers came, from an endpoint or from the proxy itself.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) {
        self.complete = end_of_stream;
        if self.root.watch.samples(self.now()) {
            // The proxy's own `response.code` is known only when the headers have passed all filters.
            let status = host::header(Map::HttpResponseHeaders, ":status");
            let status = self.root.checked(status).flatten();
            self.ask(status.is_some_and(|status| status.first() == Some(&b'5')));
        }
    }

    /// A part of the answer's body came. The first one means that prefill is finished; servers send headers before that.
    pub(crate) fn on_response_body(&mut self, bytes: usize, end_of_stream: bool) {
        self.complete |= end_of_stream;
        self.answer_bytes = self.answer_bytes.saturating_add(bytes);
        if !self.asked && self.root.watch.doubts(self.now()) {
            self.ask_late();
        }
        if !self.started && bytes > 0 {
            self.started = true;
            self.on_first_byte();
        }
    }

    fn on_first_byte(&mut self) {
        let now = self.now();
        if let Some(sent) = &mut self.sent {
            self.root.with(|worker| worker.on_first_byte(now, sent));
        }
    }

    /// The stream ended. What does not look like a completion is asked about, and everything while there is doubt.
    pub(crate) fn on_done(mut self) {
        let suspicious = !self.complete || self.answer_bytes < SHORT_ANSWER_BYTES;
        if !self.asked && (suspicious || self.root.watch.doubts(self.now())) {
            self.ask_late();
        }
        if !self.complete && self.sent.is_some() {
            let flags = self.number("response\0flags").unwrap_or(0);
            self.on_outcome(flags & UPSTREAM_FAILED != 0);
        }
    }

    /// Asks when the answer's headers are gone.
    fn ask_late(&mut self) {
        let status = self.number("response\0code");
        self.ask(status.is_some_and(|status| status / 100 == 5));
    }

    /// Asks where the request went. `failed`: the answer's status is an error of the server, or of the proxy.
    fn ask(&mut self, failed: bool) {
        self.asked = true;
        self.on_outcome(failed);
        let upstream = host::property("upstream\0address");
        let Some(upstream) = self.root.checked(upstream) else {
            return;
        };
        match (upstream, self.sent.take()) {
            // The proxy answered by itself without asking an endpoint.
            (None, Some(sent)) => self.end(sent, false),
            (Some(upstream), Some(sent)) => {
                self.attribute(sent, destination::endpoint_of(&upstream))
            }
            (_, None) => {}
        }
    }

    fn on_outcome(&mut self, failed: bool) {
        if failed {
            self.failed = true;
            self.root.watch.on_wrong(self.now());
        }
    }

    /// Books the request where it really went: a retry or the proxy's own balancing may have sent it elsewhere.
    fn attribute(&mut self, sent: Sent, upstream: &[u8]) {
        if sent
            .address()
            .is_none_or(|address| address.as_bytes() == upstream)
        {
            self.sent = Some(sent);
            return;
        }
        let now = self.now();
        self.root.watch.on_wrong(now);
        let address = String::from_utf8_lossy(upstream);
        let moved = self
            .root
            .with(|worker| worker.on_moved(now, sent, &address, &self.request));
        self.sent = moved.flatten();
        if self.started {
            self.on_first_byte();
        }
    }

    /// A property that is a whole number.
    fn number(&self, path: &str) -> Option<u64> {
        let bytes = self.root.checked(host::property(path)).flatten()?;
        bytes.first_chunk::<8>().copied().map(u64::from_le_bytes)
    }

    fn end(&self, sent: Sent, failed: bool) {
        let now = self.now();
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
