//! A placed request until it ends, in whatever way.
//!
//! The books are kept exact by ownership: what [`InFlight`] holds is handed back when it is dropped, and Envoy ends the context of
//! every stream, whether it ended by an answer, a reset, a timeout, a local reply or the client's departure.
//!
//! Where a request really went and how it went is asked of the proxy for some answers only ([`OutcomeSampling`](crate::pool::outcome_sampling::OutcomeSampling)): the answer's
//! headers are the first moment at which it is known, a later chunk or the end the second chance.

mod late_body;

use std::rc::Rc;

use trimtab_loadtable::ErrorKind;
use trimtab_pick::{Booking, Millis, Outcome};

use crate::config::destination;
use crate::host::{self, Buffer, Map};
use crate::pair::messages::Fault;
use crate::pool::choice::{Choice, Observed};
use crate::pool::explain::Went;
use crate::pool::kept_names;
use crate::pool::outcome;
use crate::pool::state::{PoolState, Sent};
use crate::pool::{Pool, millis};
use crate::request::answer::{Begun, Found, Naming, Waiting};
use crate::sync::exchange;

/// A completion takes more bytes than that, in any API; an error, the proxy's own above all, seldom does.
const SHORT_ANSWER_BYTES: usize = 192;

/// So much of an answer is fetched at once while its content is waited for.
const PIECE_BYTES: usize = 4_096;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pool: Rc<Pool>,
    /// Absent: it ended, or went where no books are kept.
    sent: Option<Sent>,
    booking: Booking,
    /// What would have been done; absent: it was done, or what the proxy did instead is known.
    observed: Option<Observed>,
    /// What the proxy did instead.
    went: Option<Went>,
    placed_at: Millis,
    /// Predicted time from there to the first byte, in milliseconds; absent: nothing was predicted, or it went elsewhere.
    predicted_ms: Option<u32>,
    /// When the content of the answer began, in milliseconds after the placement, until it is clear that it is not an error's.
    first_byte_ms: Option<u32>,
    /// The answer is known to be streamed.
    streams: bool,
    /// Absent: the content of the answer has begun.
    waiting: Option<Waiting>,
    /// The answer names something that its server keeps, and the name has not come; absent: it does not, or it has.
    naming: Option<Box<Naming>>,
    /// The proxy was asked what became of it.
    asked: bool,
    answer_bytes: usize,
    /// The answer is complete.
    complete: bool,
    /// It ended broken, or with an error of the server or the proxy.
    failed: bool,
    /// It did not end well; also when the server was only too busy for it.
    failing: bool,
}

impl InFlight {
    /// The request goes out now: to where its placement says, or where the proxy likes.
    pub(crate) fn new(pool: &Rc<Pool>, now: Millis, placement: &Choice) -> Option<Self> {
        let send = |state: &mut PoolState| {
            let (sent, is_large) = state.on_sent(now, placement);
            if is_large {
                exchange::on_large(pool, state);
            }
            sent
        };
        let (sent, observed) = match placement.observed {
            true => (None, Some(placement.observed())),
            false => (Some(pool.with(send)?), None),
        };
        Some(Self {
            pool: Rc::clone(pool),
            predicted_ms: sent.as_ref().and_then(Sent::predicted_ms),
            sent,
            booking: placement.booking,
            observed,
            went: None,
            placed_at: now,
            first_byte_ms: None,
            streams: placement.streams,
            waiting: Some(Waiting::new(placement.streams)),
            naming: placement.makes.then(|| Box::new(Naming::new())),
            asked: false,
            answer_bytes: 0,
            complete: false,
            failed: false,
            failing: false,
        })
    }

    fn now(&self) -> Millis {
        millis(self.pool.recent_ns())
    }

    /// The answer's headers came, from an endpoint or from the proxy itself.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) {
        self.complete = end_of_stream;
        let is_probe = self.sent.as_ref().is_some_and(Sent::is_probe);
        let must_ask = is_probe || self.naming.is_some() || self.observed.is_some();
        if self.pool.sampling.samples(self.now()) || must_ask {
            // The proxy's own `response.code` is known only when the headers have passed all filters.
            let status = self.header(":status");
            self.ask(status.and_then(|status| outcome::status(&status)), true);
        }
    }

    /// A header of the answer, which are there only while they pass.
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let value = host::header(Map::HttpResponseHeaders, name);
        self.pool.checked(value).flatten()
    }

    /// A part of the answer's body came. Where content begins prefill is finished; servers send headers before that, and more.
    pub(crate) fn on_response_body(&mut self, bytes: usize, end_of_stream: bool) {
        self.complete |= end_of_stream;
        self.answer_bytes = self.answer_bytes.saturating_add(bytes);
        if !self.asked && self.pool.sampling.doubts(self.now()) {
            self.ask_late();
        }
        self.read(bytes);
        if self.answer_bytes >= SHORT_ANSWER_BYTES {
            self.see_first_byte();
        }
    }

    /// Reads a part of so many bytes, as long as there is something to find in the answer.
    fn read(&mut self, bytes: usize) {
        let mut from = 0_usize;
        while self.waiting.is_some() || self.naming.is_some() {
            let Some(left) = bytes.checked_sub(from).filter(|left| *left > 0) else {
                return;
            };
            let piece = host::buffer(Buffer::HttpResponseBody, from, left.min(PIECE_BYTES));
            let piece = self.pool.checked(piece).flatten().unwrap_or_default();
            self.look_for_content(&piece);
            self.look_for_name(&piece);
            from = from.saturating_add(piece.len());
        }
    }

    /// Whether the content of the answer, or an error in its place, begins in this piece; empty: it can not be read, and may be content.
    fn look_for_content(&mut self, piece: &[u8]) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let begun = match piece.is_empty() {
            true => Some(Begun::Content),
            false => waiting.feed(piece),
        };
        let Some(begun) = begun else { return };
        self.streams |= waiting.has_events();
        self.waiting = None;
        // The exact time costs 0.1 us here; a property costs 0.9.
        self.first_byte_ms = (begun == Begun::Content).then(|| self.ms_since_placement());
        self.on_first_byte();
    }

    /// Looks for the name of what the server keeps from now on, and lets the others know of it; empty: it can not be read, so there is none.
    fn look_for_name(&mut self, piece: &[u8]) {
        let Some(naming) = &mut self.naming else {
            return;
        };
        let found = match piece.is_empty() {
            true => Some(Found::Nothing),
            false => naming.feed(piece),
        };
        let Some(found) = found else { return };
        self.naming = None;
        if let (Found::Name(name), Some(sent)) = (found, &self.sent) {
            let (pool, now) = (&self.pool, self.now());
            pool.with(|state| kept_names::tell(pool, state, now, sent, name));
        }
    }

    fn see_first_byte(&mut self) {
        let ms = self.first_byte_ms.take().filter(|_| !self.failing);
        if let Some((sent, ms)) = self.sent.as_ref().zip(ms) {
            let predicted_ms = self.predicted_ms.filter(|_| self.streams);
            let entry = sent.entry();
            self.pool
                .with(|state| state.tally.saw_first_byte(entry, ms, predicted_ms));
        }
    }

    fn ms_since_placement(&self) -> u32 {
        let ms = millis(self.pool.now_ns()).since(self.placed_at);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    fn on_first_byte(&mut self) {
        let now = self.now();
        if let Some(sent) = &mut self.sent {
            self.pool.with(|state| state.on_first_byte(now, sent));
        }
    }

    /// The stream ended. What does not look like a completion is asked about, and everything while there is doubt.
    pub(crate) fn on_done(mut self) {
        let suspicious = !self.complete || self.answer_bytes < SHORT_ANSWER_BYTES;
        if !self.asked && (suspicious || self.pool.sampling.doubts(self.now())) {
            self.ask_late();
        }
        self.see_first_byte();
        if !self.complete && self.sent.is_some() {
            if let Some(outcome) = outcome::by_flags(self.flags()) {
                self.failed = true;
                if !self.failing {
                    self.on_outcome(outcome);
                }
            }
        } else if !self.failing {
            let ms = self.ms_since_placement();
            if let Some(sent) = &self.sent {
                let entry = sent.entry();
                self.pool.with(|state| state.tally.saw_end(entry, ms));
            }
            if self.asked {
                self.tell(Outcome::Ok);
            }
        }
    }

    /// Asks when the answer's headers are gone.
    fn ask_late(&mut self) {
        let status = self.number("response\0code");
        self.ask(status.and_then(|status| u16::try_from(status).ok()), false);
    }

    /// Asks where the request went, and where it failed also why. `status`: of the answer. `in_headers`: its headers are passing.
    fn ask(&mut self, status: Option<u16>, in_headers: bool) {
        self.asked = true;
        let failing = status.filter(|status| outcome::is_failing(*status));
        self.failed |= failing.is_some_and(|status| status != 429);
        // What is tried out shows that it serves with nothing less than a success: a wrong port answers 404 to everything.
        let is_probe = self.sent.as_ref().is_some_and(Sent::is_probe);
        self.failed |= is_probe && status.is_none_or(|status| status / 100 != 2);
        if failing.is_some() {
            self.failing = true;
            self.pool.sampling.on_wrong(self.now());
        }
        let upstream = host::property("upstream\0address");
        let Some(upstream) = self.pool.checked(upstream) else {
            return;
        };
        let moved = match (upstream, self.observed.take(), self.sent.take()) {
            (Some(upstream), Some(observed), _) => {
                self.compare(observed, destination::endpoint_of(&upstream));
                false
            }
            (Some(upstream), None, Some(sent)) => {
                self.attribute(sent, destination::endpoint_of(&upstream))
            }
            // The proxy answered by itself without asking an endpoint.
            (None, _, Some(sent)) => {
                self.end(sent, false);
                false
            }
            (_, _, None) => false,
        };
        if let Some(status) = failing.filter(|_| self.sent.is_some()) {
            let header = in_headers.then(|| self.header("retry-after")).flatten();
            let retry_after_ms = header.and_then(|value| outcome::retry_after_ms(&value));
            if let Some(outcome) = outcome::by_status(status, self.flags(), retry_after_ms) {
                self.on_outcome(outcome);
            }
        }
        if moved && self.waiting.is_none() {
            self.on_first_byte();
        }
    }

    /// Compares what the proxy did with what would have been done.
    fn compare(&mut self, observed: Observed, upstream: &[u8]) {
        let address = String::from_utf8_lossy(upstream).into_owned();
        let now = self.now();
        let compare =
            |state: &mut PoolState| state.on_observed(now, observed, &address, &self.booking);
        let (sent, wait_s) = self.pool.with(compare).unwrap_or_default();
        self.sent = sent;
        self.went = Some(Went { address, wait_s });
        if self.waiting.is_none() {
            self.on_first_byte();
        }
    }

    /// Where the proxy sent an observed request, once that is known; handed over once.
    pub(crate) fn take_went(&mut self) -> Option<Went> {
        self.went.take()
    }

    /// Something went wrong at the endpoint.
    fn on_outcome(&mut self, outcome: Outcome) {
        self.failing = true;
        self.pool.sampling.on_wrong(self.now());
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        let now = self.now();
        let Some(sent) = &mut self.sent else { return };
        self.pool.with(|state| {
            state.on_outcome(now, sent, outcome);
            if let Some(kind) = outcome::kind(outcome) {
                state.tally.saw_error(sent.entry(), kind);
            }
        });
    }

    /// Envoy's response flags.
    fn flags(&self) -> u64 {
        self.number("response\0flags").unwrap_or(0)
    }

    /// Books the request where it really went: a retry or the proxy's own balancing may have sent it elsewhere.
    /// Says whether it was elsewhere.
    fn attribute(&mut self, mut sent: Sent, upstream: &[u8]) -> bool {
        if sent
            .address()
            .is_none_or(|address| address.as_bytes() == upstream)
        {
            self.pool.override_check.on_followed();
            self.sent = Some(sent);
            return false;
        }
        self.predicted_ms = None;
        let now = self.now();
        self.pool.sampling.on_wrong(now);
        let address = String::from_utf8_lossy(upstream);
        // With one attempt the proxy did not even try the first of the list: its cluster does not have it, or thinks it unhealthy.
        let tried = self
            .number("upstream\0request_attempt_count")
            .is_some_and(|attempts| attempts > 1);
        let moved = self.pool.with(|state| {
            if tried {
                // It could not be reached, or said at once that it cannot serve; which of the two is not to be known.
                state.on_outcome(now, &mut sent, Outcome::ServerError);
                state.tally.saw_error(sent.entry(), ErrorKind::PassedOver);
            }
            state.on_rerouted(now, sent, &address, &self.booking)
        });
        self.sent = moved.flatten();
        if !tried && self.pool.override_check.strays() {
            self.pool.fault(Fault::NotFollowed);
        }
        true
    }

    /// A property that is a whole number.
    fn number(&self, path: &str) -> Option<u64> {
        let bytes = self.pool.checked(host::property(path)).flatten()?;
        bytes.first_chunk::<8>().copied().map(u64::from_le_bytes)
    }

    fn end(&self, sent: Sent, failed: bool) {
        let now = self.now();
        self.pool.with(|state| state.on_done(now, sent, failed));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.end(sent, self.failed);
        }
    }
}
