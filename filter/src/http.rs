//! One request: headers -> body -> destination header, and what becomes of it.
//!
//! Every path ends in `Continue`. The one `Pause` is given at headers while the body of a completion request is being read, and the body
//! callback, the trailers, the end of the body or a tick ends it. With the role tap there is none: pick holds the headers.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::rc::Rc;

use crate::config::Role;
use crate::exchange::millis;
use crate::facts::{Body, Head, Plan};
use crate::host::{self, Action, Buffer, Map};
use crate::in_flight::InFlight;
use crate::metrics::Counter;
use crate::naming::{self, Way};
use crate::pairing::{self, Fault, Mark};
use crate::root::Root;

/// One request.
#[derive(Debug)]
pub(crate) struct HttpFilter {
    root: Rc<Root>,
    context_id: u32,
    reading: Option<Box<Reading>>,
    /// The tick at which the headers were let go although nothing of the body had come.
    let_go_at: Option<u64>,
    in_flight: Option<InFlight>,
    explain: Option<String>,
}

/// A request whose body is being read, and whose headers are held back meanwhile.
#[derive(Debug)]
struct Reading {
    head: Head,
    body: Body,
    seen_bytes: usize,
    is_json: bool,
    /// The tick at which it began.
    since: u64,
}

impl HttpFilter {
    pub(crate) fn new(root: Rc<Root>, context_id: u32) -> Self {
        Self {
            root,
            context_id,
            reading: None,
            let_go_at: None,
            in_flight: None,
            explain: None,
        }
    }

    fn is_tap(&self) -> bool {
        self.root.config.role == Role::Tap
    }

    /// Decides, and names the destination.
    fn place(&mut self, head: &Head, body: Option<&Body>, way: Way) {
        let root = Rc::clone(&self.root);
        let facts = body.map(|body| body.facts(head.content_length));
        let now = millis(root.now_ns());
        let placed = root.with(|worker| worker.place(now, &root.config, head, facts.as_ref()));
        let placement = placed.flatten();
        let hosts = placement.as_ref().map_or("", |placement| &placement.hosts);
        let named = naming::name(&root, hosts, way);
        if let Some(placement) = placement.filter(|_| named) {
            self.in_flight = InFlight::new(&root, now, &placement);
            self.explain = placement.explain;
        }
    }

    /// Decides on what was read.
    fn place_read(&mut self, reading: &Reading) {
        if !reading.is_json {
            self.root
                .with(|worker| worker.metrics.count(Counter::BodiesNotJson, "json"));
        }
        let way = if self.is_tap() {
            Way::ByPick
        } else {
            Way::Here
        };
        let body = (reading.is_json && reading.seen_bytes > 0).then_some(&reading.body);
        self.place(&reading.head, body, way);
    }

    /// Tells pick what to expect. `false`: it will not know, so nothing may wait for it.
    fn mark(&self, follows: bool) -> bool {
        let pools = self.root.pools_mark.as_bytes();
        let mark = Mark { follows, pools }.encode();
        let told = host::set_property(pairing::MARK, &mark);
        self.root.checked(told).is_some()
    }
}

impl Reading {
    /// Reads the new part of the body, of that many bytes. `true`: enough was seen.
    fn read(&mut self, root: &Root, bytes: usize) -> bool {
        let limit = root.config.decide_after_bytes;
        let wanted = bytes.min(limit.saturating_sub(self.seen_bytes));
        if wanted > 0 {
            let chunk = root.checked(host::buffer(Buffer::HttpRequestBody, 0, wanted));
            let Some(Some(chunk)) = chunk else {
                return true;
            };
            self.seen_bytes = self.seen_bytes.saturating_add(chunk.len());
            self.is_json = self.body.feed(&chunk).is_ok();
        }
        let whole = self
            .head
            .content_length
            .is_some_and(|length| self.seen_bytes as u64 >= length);
        !self.is_json || whole || self.seen_bytes >= limit
    }
}

impl HttpFilter {
    /// The request's headers came. `end_of_stream`: there is no body.
    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        let root = Rc::clone(&self.root);
        let config = &root.config;
        let Some(headers) = root.checked(host::header_pairs(Map::HttpRequestHeaders)) else {
            // Without the headers nothing can be placed, but a forged destination must not get through.
            for name in config.own_headers() {
                root.checked(host::remove_header(Map::HttpRequestHeaders, name));
            }
            return Action::Continue;
        };
        let head = Head::read(&headers, config, end_of_stream);
        for (place, name) in config.own_headers().enumerate() {
            if head.forged >> place & 1 == 1 {
                let label = if place == 0 { "destination" } else { "explain" };
                root.with(|worker| worker.metrics.count(Counter::ForgedHeaders, label));
                root.checked(host::remove_header(Map::HttpRequestHeaders, name));
            }
        }
        match head.plan {
            Plan::Pass => Action::Continue,
            Plan::PlaceNow => self.place_now(&head),
            // Without a table the body would be held for nothing.
            Plan::Read if root.with(|worker| worker.version()).flatten().is_none() => {
                self.place_now(&head)
            }
            Plan::Read if root.holding.may_hold() => self.hold(head),
            Plan::Read => self.place_now(&head),
        }
    }

    /// Decides by the headers alone.
    fn place_now(&mut self, head: &Head) -> Action {
        if self.is_tap() {
            self.mark(false);
        }
        self.place(head, None, Way::Here);
        Action::Continue
    }

    /// Begins to read the body, for which the headers have to be held.
    fn hold(&mut self, head: Head) -> Action {
        let action = match self.is_tap() {
            true if !self.mark(true) => return self.place_now(&head),
            true => Action::Continue,
            false => Action::Pause,
        };
        self.reading = Some(Box::new(Reading {
            head,
            body: Body::new(),
            seen_bytes: 0,
            is_json: true,
            since: self.root.holding.ticks(),
        }));
        action
    }

    /// A new part of the body came.
    pub(crate) fn on_request_body(&mut self, bytes: usize, end_of_stream: bool) -> Action {
        if let Some(let_go_at) = self.let_go_at.take_if(|_| bytes > 0)
            && self.root.holding.on_late_body(let_go_at)
        {
            self.root.fault(Fault::NoStopIteration);
        }
        let Some(mut reading) = self.reading.take() else {
            return Action::Continue;
        };
        let held = !self.is_tap();
        if bytes > 0 && held {
            self.root.holding.on_body();
        }
        if reading.read(&self.root, bytes) || end_of_stream {
            self.place_read(&reading);
            return Action::Continue;
        }
        self.reading = Some(reading);
        if held {
            Action::Pause
        } else {
            Action::Continue
        }
    }

    /// Trailers came, so the body is complete.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        if let Some(reading) = self.reading.take() {
            self.place_read(&reading);
        }
        Action::Continue
    }

    /// A tick. A request that has waited too long for its body goes on with what is known. `true`: it did, and calls speak of it from here
    /// on.
    pub(crate) fn on_tick(&mut self) -> bool {
        let (is_tap, holding) = (self.is_tap(), &self.root.holding);
        let is_over = |reading: &mut Box<Reading>| match is_tap || reading.seen_bytes > 0 {
            true => holding.reading_is_over(reading.since),
            false => holding.probe_is_over(reading.since),
        };
        let Some(reading) = self.reading.take_if(is_over) else {
            return false;
        };
        let speaks = host::set_effective_context(self.context_id);
        if self.root.checked(speaks).is_none() {
            self.reading = Some(reading);
            return false;
        }
        self.place_read(&reading);
        if !is_tap {
            let now = self.root.holding.ticks();
            self.let_go_at = (reading.seen_bytes == 0).then_some(now);
            self.root.checked(host::continue_request());
        }
        true
    }

    /// The answer's headers came.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.on_response_headers(end_of_stream);
        }
        if let (Some(name), Some(text)) = (&self.root.config.explain_header, self.explain.take()) {
            self.root
                .checked(host::set_header(Map::HttpResponseHeaders, name, &text));
        }
        Action::Continue
    }

    /// A part of the answer's body came.
    pub(crate) fn on_response_body(&mut self, bytes: usize, end_of_stream: bool) -> Action {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.on_response_body(bytes, end_of_stream);
        }
        Action::Continue
    }

    /// The stream ended, in whatever way.
    pub(crate) fn on_done(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.on_done();
        }
    }
}
