//! One request: headers -> body -> destination header, and what becomes of it.
//!
//! Every path ends in `Continue`. The one `Pause` is given while a completion request's body is being read, and the body callback, the
//! trailers or the end of the body end it.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::rc::Rc;

use crate::exchange::millis;
use crate::facts::{Body, BodyFacts, Ending, Head, Plan};
use crate::host::{self, Action, Buffer, Map};
use crate::in_flight::InFlight;
use crate::metrics::Counter;
use crate::root::{self, Root};

/// One request.
#[derive(Debug)]
pub(crate) struct HttpFilter {
    root: Option<Rc<Root>>,
    reading: Option<Box<Reading>>,
    in_flight: Option<InFlight>,
    explain: Option<String>,
}

/// A request whose headers are held back.
#[derive(Debug)]
struct Reading {
    head: Head,
    body: Body,
    seen_bytes: usize,
}

impl HttpFilter {
    pub(crate) fn new(root_id: u32) -> Self {
        Self {
            root: root::find(root_id),
            reading: None,
            in_flight: None,
            explain: None,
        }
    }

    /// Decides, and names the destination.
    fn place(&mut self, root: &Rc<Root>, head: &Head, body: Option<&BodyFacts>) {
        let now = millis(root.now_ns());
        let placed = root.with(|worker| worker.place(now, &root.config, head, body));
        let Some(placement) = placed.flatten() else {
            return;
        };
        let set = host::set_header(
            Map::HttpRequestHeaders,
            &root.config.destination_header,
            &placement.hosts,
        );
        if root.checked(set).is_some() {
            self.in_flight = InFlight::new(root, now, &placement);
            self.explain = placement.explain;
        }
    }

    /// Ends the reading and decides on what was read.
    fn finish_reading(&mut self, root: &Rc<Root>, reading: &Reading, ending: Ending) -> Action {
        root.with(|worker| worker.metrics.count(Counter::Bodies, ending.as_str()));
        let facts = reading.body.facts(ending, reading.head.content_length);
        self.place(root, &reading.head, Some(&facts));
        Action::Continue
    }
}

impl Reading {
    /// Reads what is new of the `buffered_bytes` that the proxy holds. Absent: more should be read.
    fn read(&mut self, root: &Root, buffered_bytes: usize) -> Option<Ending> {
        let limit = root.config.decide_after_bytes;
        let wanted = buffered_bytes.min(limit).saturating_sub(self.seen_bytes);
        if wanted > 0 {
            let Some(Some(chunk)) = root.checked(host::buffer(
                Buffer::HttpRequestBody,
                self.seen_bytes,
                wanted,
            )) else {
                return Some(Ending::Unfinished);
            };
            self.seen_bytes = self.seen_bytes.saturating_add(chunk.len());
            self.body.feed(&chunk);
        }
        let is_full = self.seen_bytes >= limit || buffered_bytes >= limit;
        self.body
            .ending(&self.head)
            .or_else(|| is_full.then_some(Ending::Cap))
    }
}

impl HttpFilter {
    /// The request's headers came. `end_of_stream`: there is no body.
    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        let Some(root) = self.root.clone() else {
            return Action::Continue;
        };
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
            Plan::PlaceNow => {
                self.place(&root, &head, None);
                Action::Continue
            }
            // Without a table the body would be held for nothing.
            Plan::Read if root.with(|worker| worker.version()).flatten().is_none() => {
                self.place(&root, &head, None);
                Action::Continue
            }
            Plan::Read => {
                let body = Body::new(head.route.shape);
                self.reading = Some(Box::new(Reading {
                    head,
                    body,
                    seen_bytes: 0,
                }));
                Action::Pause
            }
        }
    }

    /// A part of the body came. `buffered_bytes`: all that the proxy holds, not only the new part.
    pub(crate) fn on_request_body(&mut self, buffered_bytes: usize, end_of_stream: bool) -> Action {
        let (Some(root), Some(mut reading)) = (self.root.clone(), self.reading.take()) else {
            return Action::Continue;
        };
        let ending = reading.read(&root, buffered_bytes);
        if let Some(ending) = ending.or_else(|| end_of_stream.then_some(Ending::Unfinished)) {
            return self.finish_reading(&root, &reading, ending);
        }
        self.reading = Some(reading);
        Action::Pause
    }

    /// Trailers came, so the body is complete.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        match (self.root.clone(), self.reading.take()) {
            (Some(root), Some(reading)) => self.finish_reading(&root, &reading, Ending::Unfinished),
            _ => Action::Continue,
        }
    }

    /// The answer's headers came.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        let Some(root) = &self.root else {
            return Action::Continue;
        };
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.on_response_headers(end_of_stream);
        }
        if let (Some(name), Some(text)) = (&root.config.explain_header, self.explain.take()) {
            root.checked(host::set_header(Map::HttpResponseHeaders, name, &text));
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
        if let (Some(root), Some(reading)) = (&self.root, self.reading.take())
            && reading.seen_bytes == 0
        {
            root.hint_stop_iteration();
        }
    }
}
