//! One request: headers -> body -> destination header, and what becomes of it.
//!
//! Every path ends in `Continue`. A request is paused only while its body is being read: at its
//! headers and at each piece of the body. The body callback, the trailers, the end of the body or a
//! tick ends the pause. With the role tap there is no pause: pick holds the headers.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

mod headers;

use std::rc::Rc;

use crate::config::destination::Form;
use crate::facts::{self, BodyFacts, Ending, Head};
use crate::host::{self, Action, Map};
use crate::metrics::Unmatched;
use crate::pair::messages::Fault;
use crate::pair::tap_role;
use crate::plugin::deciding::DecidingPlugin;
use crate::pool::explain::Explanation;
use crate::pool::kept_names;
use crate::pool::millis;
use crate::pool::probing;
use crate::pool::state::PoolState;
use crate::request::body_reading::BodyReading;
use crate::request::destination_header;
use crate::request::passing_body::Passing;
use crate::request::response::InFlight;

/// Name of the property that holds a decision for access logs.
const DECISION: &str = "trimtab_decision";

/// How the destination of a request gets into its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The headers are at hand.
    Here,
    /// The plugin with the role pick holds them.
    ByPick,
}

/// One request.
#[derive(Debug)]
pub(crate) struct HttpFilter {
    plugin: Rc<DecidingPlugin>,
    context_id: u32,
    reading: Option<Box<BodyReading>>,
    /// The tick at which the headers were let go before any of the body had come.
    let_go_at: Option<u64>,
    /// The proxy has refused to let the request go on. Each tick asks again.
    refused: bool,
    in_flight: Option<InFlight>,
    /// A body that passes after the decision. It still shows how long its prompt is or whether its
    /// answer is streamed.
    passing: Option<Passing>,
    /// Absent: nobody wants to read an explanation.
    explanation: Option<Box<Explanation>>,
    /// Whether the answer shall carry the explanation.
    explain: bool,
}

impl HttpFilter {
    pub(crate) fn new(plugin: Rc<DecidingPlugin>, context_id: u32) -> Self {
        Self {
            plugin,
            context_id,
            reading: None,
            let_go_at: None,
            refused: false,
            in_flight: None,
            passing: None,
            explanation: None,
            explain: false,
        }
    }

    /// Decides, and names the destination.
    ///
    /// - `body`: what was read; absent: nothing.
    /// - `is_all`: no part of the body is still to come.
    fn place(&mut self, head: &Head, body: Option<&BodyFacts>, way: Way, is_all: bool) {
        let plugin = Rc::clone(&self.plugin);
        let pool = plugin.pool(head, facts::model(head, body));
        let held = || facts::held(head, body);
        let Some((pool, mode)) = pool.or_else(|| plugin.pool_that_keeps(head, held())) else {
            let unmatched = match body {
                Some(_) => Unmatched::Read,
                None => Unmatched::Unread,
            };
            plugin.count(head.pools, unmatched);
            name(&plugin, "", way);
            return;
        };
        let now = millis(pool.now_ns());
        let place = |state: &mut PoolState| {
            probing::take(pool, state, mode);
            kept_names::look_up(pool, state, now, held());
            let mut placed = state.place(now, &plugin.config, mode, head, body);
            let form = plugin.config.destination.form;
            let placement = placed.placement.as_mut();
            kept_names::seek(state, now, form, held(), head.is_plain, placement);
            placed
        };
        let mut placed = pool.with(place).unwrap_or_default();
        if let Some(placement) = &mut placed.placement {
            placement.tells = head.tells;
            placement.is_counted = head.is_prompt || head.makes;
            placement.is_whole = is_all;
        }
        let hosts = placed.placement.as_ref().map_or("", |placement| {
            if placement.observed {
                ""
            } else {
                &placement.hosts
            }
        });
        let named = name(&plugin, hosts, way);
        // What nobody takes up is no decision, and must not look like one. The fault is counted.
        let is_lost = !named && !hosts.is_empty();
        match placed.reason {
            Some(reason) if !is_lost => {
                pool.with(|state| state.metrics.count(reason));
            }
            _ => placed
                .explanation
                .iter_mut()
                .for_each(|text| text.take_back()),
        }
        self.in_flight = placed
            .placement
            .filter(|placement| placement.observed || named)
            .and_then(|placement| InFlight::new(pool, now, &placement));
        self.explanation = placed.explanation;
        self.explain = head.explain;
        self.log_decision();
    }

    /// Decides on what was read.
    ///
    /// - `bytes`: size of the body's part that is at hand.
    /// - `is_all`: no part of the body is still to come.
    fn place_read(&mut self, reading: &BodyReading, ending: Ending, bytes: usize, is_all: bool) {
        let head = &reading.head;
        self.plugin.count(head.pools, ending);
        let mut facts = reading.facts(ending, is_all);
        let mut passing = Passing::new(head, &facts, reading.came_bytes);
        passing.keep_end(&self.plugin, bytes);
        if is_all {
            facts.stream = facts.stream.or_else(|| passing.stream());
        }
        let way = match self.plugin.is_tap() {
            true => Way::ByPick,
            false => Way::Here,
        };
        self.place(head, Some(&facts), way, is_all);
        self.passing = (passing.tells() && !is_all).then_some(passing);
    }

    /// Handles a part of the body, which may be empty, after the decision. The end of the body
    /// shows the prompt's length and the fields after the prompt.
    fn pass(&mut self, bytes: usize, is_end: bool) {
        if let Some(in_flight) = self.in_flight.as_mut().filter(|_| is_end) {
            in_flight.on_whole();
        }
        let Some(passing) = &mut self.passing else {
            return;
        };
        passing.came(&self.plugin, bytes);
        let Some(in_flight) = self.in_flight.as_mut().filter(|_| is_end) else {
            return;
        };
        if passing.stream() == Some(true) {
            in_flight.on_streamed();
        }
        if let Some(tokens) = passing.prompt_tokens() {
            in_flight.on_prompt(facts::saturating(tokens));
        }
        self.passing = None;
    }

    /// Leaves the explanation where access logs find it.
    fn log_decision(&self) {
        if let Some(explanation) = self
            .explanation
            .as_ref()
            .filter(|_| self.plugin.config.explain_log)
        {
            let text = explanation.text();
            self.plugin
                .checked(host::set_property(DECISION, text.as_bytes()));
        }
    }
}

/// Names the destinations of the request at hand. Returns `false` if the proxy gets none of them.
///
/// - `hosts`: `ip:port[,ip:port]`, best first; empty: none.
fn name(plugin: &DecidingPlugin, hosts: &str, way: Way) -> bool {
    match way {
        Way::Here => {
            !hosts.is_empty()
                && plugin
                    .checked(destination_header::set_header(&plugin.config, hosts))
                    .is_some()
        }
        // Tap sends a message without hosts too, because pick waits for one.
        Way::ByPick => tap_role::tell_pick(plugin, hosts) && !hosts.is_empty(),
    }
}

impl HttpFilter {
    /// Handles a new part of the body.
    pub(crate) fn on_request_body(&mut self, bytes: usize, end_of_stream: bool) -> Action {
        let plugin = Rc::clone(&self.plugin);
        if let Some(let_go_at) = self.let_go_at.take_if(|_| bytes > 0)
            && plugin.holding.on_late_body(let_go_at)
        {
            plugin.fault(Fault::NoStopIteration);
        }
        self.refused = false;
        let Some(mut reading) = self.reading.take() else {
            self.pass(bytes, end_of_stream);
            return Action::Continue;
        };
        let held = !plugin.is_tap();
        if bytes > 0 && held {
            plugin.holding.on_body();
        }
        let ending = reading.read(&plugin, bytes);
        if let Some(ending) = ending.or_else(|| end_of_stream.then_some(Ending::Unfinished)) {
            self.place_read(&reading, ending, bytes, end_of_stream);
            return Action::Continue;
        }
        self.reading = Some(reading);
        if held {
            Action::Pause
        } else {
            Action::Continue
        }
    }

    /// Handles the trailers: the body is complete.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        match self.reading.take() {
            Some(reading) => self.place_read(&reading, Ending::Unfinished, 0, true),
            None => self.pass(0, true),
        }
        Action::Continue
    }

    /// Handles a tick. A request that has waited too long for its body goes on with what is known.
    /// Returns `true` if hostcalls concern this request from here on (its context is effective).
    pub(crate) fn on_tick(&mut self) -> bool {
        let (is_tap, holding) = (self.plugin.is_tap(), &self.plugin.holding);
        let is_over = |reading: &mut Box<BodyReading>| match is_tap || reading.seen_bytes > 0 {
            true => holding.reading_is_over(reading.since),
            false => holding.probe_is_over(reading.since),
        };
        let reading = self.reading.take_if(is_over);
        if reading.is_none() && !self.refused {
            return false;
        }
        let speaks = host::set_effective_context(self.context_id);
        if self.plugin.checked(speaks).is_none() {
            self.reading = reading.or_else(|| self.reading.take());
            return false;
        }
        if let Some(reading) = &reading {
            if reading.seen_bytes > self.plugin.config.decide_after_bytes {
                self.plugin.holding.on_long_body_stopped(reading.seen_bytes);
            }
            self.place_read(reading, Ending::Unfinished, 0, false);
            let now = self.plugin.holding.ticks();
            self.let_go_at = (!is_tap && reading.seen_bytes == 0).then_some(now);
        }
        if !is_tap {
            self.refused = self.plugin.checked(host::continue_request()).is_none();
        }
        true
    }

    /// Handles the headers of the answer.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        let destination = &self.plugin.config.destination;
        if destination.form == Form::StatefulSession {
            // That filter names the endpoint on answers of requests that were not sent there by the
            // header. Clients must not know endpoints.
            let removed = host::remove_header(Map::HttpResponseHeaders, &destination.header);
            self.plugin.checked(removed);
        }
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.on_response_headers(end_of_stream);
        }
        let went = self.in_flight.as_mut().and_then(InFlight::take_went);
        if let (Some(explanation), Some(went)) = (&mut self.explanation, went) {
            explanation.observed = Some(Some(went));
            self.log_decision();
        }
        let name = self.plugin.config.explain_header.as_ref();
        let name = name.filter(|_| self.explain);
        if let (Some(name), Some(explanation)) = (name, self.explanation.take()) {
            let set = host::set_header(Map::HttpResponseHeaders, name, &explanation.text());
            self.plugin.checked(set);
        }
        Action::Continue
    }

    /// Handles a part of the answer's body.
    pub(crate) fn on_response_body(&mut self, bytes: usize, end_of_stream: bool) -> Action {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.on_response_body(bytes, end_of_stream);
        }
        Action::Continue
    }

    /// Handles the end of the stream, however it ended.
    pub(crate) fn on_done(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.on_done();
        }
    }
}
