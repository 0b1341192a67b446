//! A placed request until it ends, however it ends.
//!
//! Ownership keeps the books exact: dropping [`InFlight`] hands back what it holds. Envoy ends the
//! context of every stream, whether an answer, a reset, a timeout, a local reply or the client's
//! departure ended it.
//!
//! For some answers only, the filter asks the proxy where the request really went and how it went
//! ([`OutcomeSampling`]). The answer's headers are the first moment at which the proxy knows it. A
//! later chunk or the end is the second chance.
//!
//! [`OutcomeSampling`]: crate::pool::outcome_sampling::OutcomeSampling

mod late_body;
mod reading;

use std::rc::Rc;

use trimtab_loadtable::ErrorKind;
use trimtab_pick::{Booking, Millis, Outcome};
use trimtab_report::Sent;

use crate::config::destination;
use crate::facts::Digest;
use crate::host::{self, Map};
use crate::pair::messages::Fault;
use crate::pool::choice::{Choice, Observed};
use crate::pool::explain::Went;
use crate::pool::outcome;
use crate::pool::state::PoolState;
use crate::pool::{Pool, millis};
use crate::request::answer::{Naming, Waiting};
use crate::sync::exchange;

/// A completion takes at least so many bytes in any API. An error, above all one of the proxy
/// itself, seldom does.
const SHORT_ANSWER_BYTES: usize = 192;

/// Bytes of an answer that are fetched at once while its content is awaited.
const PIECE_BYTES: usize = 4_096;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pool: Rc<Pool>,
    /// Absent: the request ended, or went where no books are kept.
    sent: Option<Sent>,
    booking: Booking,
    /// What this filter would have done. Absent: the filter placed the request, or the proxy's
    /// choice is known.
    observed: Option<Observed>,
    /// What the proxy did instead.
    went: Option<Went>,
    placed_at: Millis,
    /// Predicted time from `placed_at` to the first byte, in milliseconds. Absent: nothing was
    /// predicted, or the request went elsewhere.
    predicted_ms: Option<u32>,
    /// When the content of the answer began, in milliseconds after the placement. Kept until it is
    /// clear that the content is not an error.
    first_byte_ms: Option<u32>,
    /// The answer is known to be streamed.
    streams: bool,
    /// Absent: the content of the answer has begun.
    waiting: Option<Waiting>,
    /// Looks for the names of what the server keeps. Absent: the answer has none, or enough of it
    /// has been read.
    naming: Option<Box<Naming>>,
    /// What was read of an error in place of the content. Absent: there is none, or it is clear
    /// whom it blames.
    error: Option<Vec<u8>>,
    /// The name that the request is about, if nobody knew which server keeps it.
    sought: Option<Digest>,
    /// The proxy was asked what became of the request.
    asked: bool,
    answer_bytes: usize,
    /// The answer is complete.
    complete: bool,
    /// The request ended broken, or with an error of the server or the proxy. A 429 does not count.
    /// With a probe everything but a success counts.
    failed: bool,
    /// The request did not go well. A 429 counts, too.
    failing: bool,
    /// The answer has a status of success.
    good: bool,
}

impl InFlight {
    /// The request goes out now, to its placement's endpoint, or, if it is observed, wherever the
    /// proxy sends it. Returns `None` on re-entrance ([`Pool::with`]).
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
            naming: placement.tells.then(|| Box::new(Naming::new())),
            error: None,
            sought: placement.sought,
            asked: false,
            answer_bytes: 0,
            complete: false,
            failed: false,
            failing: false,
            good: false,
        })
    }

    fn now(&self) -> Millis {
        millis(self.pool.recent_ns())
    }

    /// Whether the request is a probe: how it goes decides about its endpoint.
    fn is_probe(&self) -> bool {
        let sent = self.sent.as_ref();
        sent.is_some_and(|sent| sent.ticket().is_probe())
    }

    /// Handles the headers of the answer, from an endpoint or from the proxy itself.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) {
        self.complete = end_of_stream;
        let is_probe = self.is_probe();
        let tells = self.naming.is_some() || self.sought.is_some();
        let must_ask = is_probe || tells || self.observed.is_some();
        if self.pool.sampling.samples(self.now()) || must_ask {
            // The proxy's own `response.code` is known only after the headers have passed all
            // filters.
            let status = self.header(":status");
            self.ask(status.and_then(|status| outcome::status(&status)), true);
        }
    }

    /// Returns a header of the answer. Headers are available only while they pass.
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let value = host::header(Map::HttpResponseHeaders, name);
        self.pool.checked(value).flatten()
    }

    /// Handles a part of the answer's body. Prefill is finished where the content begins: servers
    /// send headers and more before that.
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

    fn see_first_byte(&mut self) {
        let ms = self.first_byte_ms.take().filter(|_| !self.failing);
        if let Some((sent, ms)) = self.sent.as_ref().zip(ms) {
            let predicted_ms = self.predicted_ms.filter(|_| self.streams);
            self.pool
                .with(|state| state.books.saw_first_byte(sent, ms, predicted_ms));
        }
    }

    fn ms_since_placement(&self) -> u32 {
        let ms = millis(self.pool.now_ns()).since(self.placed_at);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    fn on_first_byte(&mut self) {
        let now = self.now();
        if let Some(sent) = &mut self.sent {
            self.pool.with(|state| state.books.on_first_byte(now, sent));
        }
    }

    /// Handles the end of the stream. Asks about an answer that does not look like a completion,
    /// and about every answer while there is doubt.
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
                self.pool.with(|state| state.books.saw_end(sent, ms));
            }
            if self.good {
                self.tell(Outcome::Ok);
            }
        }
    }

    /// Asks after the answer's headers have passed.
    fn ask_late(&mut self) {
        let status = self.number("response\0code");
        self.ask(status.and_then(|status| u16::try_from(status).ok()), false);
    }

    /// Asks where the request went. If it failed, asks also why.
    ///
    /// - `status`: the answer's status.
    /// - `in_headers`: the answer's headers are passing.
    fn ask(&mut self, status: Option<u16>, in_headers: bool) {
        self.asked = true;
        self.good = status.is_some_and(|status| status / 100 == 2);
        let failing = status.filter(|status| outcome::is_failing(*status));
        self.failed |= failing.is_some_and(|status| status != 429);
        // Only a success shows that a probed endpoint works: a wrong port answers 404 to
        // everything.
        let is_probe = self.is_probe();
        self.failed |= is_probe && !self.good;
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
            // The proxy answered by itself, without an endpoint.
            (None, _, Some(sent)) => {
                self.end(sent, false);
                false
            }
            (_, _, None) => false,
        };
        if self.good {
            self.keep(self.sought);
        } else if status.is_some() && failing.is_none() {
            self.tell(Outcome::Rejected);
        }
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

    /// Compares the proxy's choice with what this filter would have done.
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

    /// Returns where the proxy sent an observed request, once that is known. Returns it only once.
    pub(crate) fn take_went(&mut self) -> Option<Went> {
        self.went.take()
    }

    /// Handles a failure at the endpoint.
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
                state.books.saw_error(sent, kind);
            }
        });
    }

    /// Envoy's response flags.
    fn flags(&self) -> u64 {
        self.number("response\0flags").unwrap_or(0)
    }

    /// Books the request where it really went: a retry or the proxy's own balancing may have sent
    /// it elsewhere. Returns whether it went elsewhere.
    fn attribute(&mut self, mut sent: Sent, upstream: &[u8]) -> bool {
        if sent.address().as_bytes() == upstream {
            self.pool.override_check.on_followed();
            self.sent = Some(sent);
            return false;
        }
        self.predicted_ms = None;
        let now = self.now();
        self.pool.sampling.on_wrong(now);
        let address = String::from_utf8_lossy(upstream);
        // With a single attempt the proxy did not even try the first host: its cluster does not
        // have the host, or considers it unhealthy.
        let tried = self
            .number("upstream\0request_attempt_count")
            .is_some_and(|attempts| attempts > 1);
        let moved = self.pool.with(|state| {
            // In a search, servers that do not have the thing are well.
            if tried && self.sought.is_none() {
                // The host could not be reached, or said at once that it cannot serve. The filter
                // cannot tell which.
                state.on_outcome(now, &mut sent, Outcome::ServerError);
                state.books.saw_error(&sent, ErrorKind::PassedOver);
            }
            state.on_rerouted(now, sent, &address, &self.booking)
        });
        self.sent = moved.flatten();
        if !tried && self.pool.override_check.strays() {
            self.pool.fault(Fault::NotFollowed);
        }
        true
    }

    /// Returns a property that is a whole number.
    fn number(&self, path: &str) -> Option<u64> {
        let bytes = self.pool.checked(host::property(path)).flatten()?;
        bytes.first_chunk::<8>().copied().map(u64::from_le_bytes)
    }

    fn end(&self, sent: Sent, failed: bool) {
        self.pool.with(|state| state.books.on_done(sent, failed));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.end(sent, self.failed);
        }
    }
}
