//! A request at its headers: which pool it may belong to, and whether its body is worth waiting
//! for.

use std::rc::Rc;

use super::{HttpFilter, Way};
use crate::config::Mode;
use crate::facts::{Head, Plan};
use crate::host::{self, Action, Map};
use crate::metrics::ForgedHeaders;
use crate::pair::messages::{self, Fault, Mark, Marks};
use crate::request::body_reading::BodyReading;

impl HttpFilter {
    /// Handles the request's headers.
    ///
    /// - `end_of_stream`: there is no body.
    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        let plugin = Rc::clone(&self.plugin);
        let config = &plugin.config;
        let Some(headers) = plugin.checked(host::header_pairs(Map::HttpRequestHeaders)) else {
            // Without the headers the filter cannot place anything, but a forged destination must
            // not get through.
            for name in config.own_headers() {
                plugin.checked(host::remove_header(Map::HttpRequestHeaders, name));
            }
            return Action::Continue;
        };
        let mut head = Head::read(&headers, config, end_of_stream);
        let marks = self.marks(&head);
        for (place, name) in config.own_headers().enumerate() {
            // Another pair, which stands before this one, may have set the destination.
            let is_anothers = || place == 0 && marks.is_taken(&["@", name].concat());
            if head.forged >> place & 1 == 1 && !is_anothers() {
                let forged = match place {
                    0 => ForgedHeaders::Destination,
                    _ => ForgedHeaders::Explain,
                };
                plugin.count(head.pools, forged);
                plugin.checked(host::remove_header(Map::HttpRequestHeaders, name));
            }
        }
        let concerns_us = head.plan != Plan::Pass || head.passed_shape.is_some();
        if !concerns_us || !self.is_ours(&mut head, &marks) {
            return Action::Continue;
        }
        if head.plan != Plan::Pass {
            self.ask_for_a_plain_answer(&head);
        }
        match head.plan {
            Plan::Pass => {
                if let Some(shape) = &head.passed_shape {
                    plugin.passes(head.pools, shape);
                }
                Action::Continue
            }
            // Without a table the body would be held for nothing.
            Plan::Read if plugin.has_table(head.pools) && plugin.holding.may_hold() => {
                self.hold(head, &marks)
            }
            Plan::PlaceNow | Plan::Read => self.place_now(&head, &marks, end_of_stream),
        }
    }

    /// Returns what taps before this one have said of the request, where that matters.
    fn marks(&self, head: &Head) -> Marks {
        let matters = head.plan != Plan::Pass || head.forged & 1 == 1;
        let asks = || {
            self.plugin
                .checked(host::property(messages::MARK))
                .flatten()
        };
        Marks::new((self.plugin.is_tap() && matters).then(asks).flatten())
    }

    /// Whether the request may belong to a pool, by its headers, its route and its cluster, and no
    /// other pair of plugins places it. Otherwise pick is told not to wait.
    fn is_ours(&self, head: &mut Head, marks: &Marks) -> bool {
        let belongs = self.plugin.find_pools(head);
        if head.plan == Plan::Pass {
            return belongs;
        }
        let is_anothers = belongs && marks.is_taken("");
        if is_anothers {
            self.plugin.fault(Fault::TwoPairs);
        }
        let is_ours = belongs && !is_anothers;
        if !is_ours {
            self.mark(marks, Mark::Passes);
        }
        is_ours
    }

    /// Adds the mark that tells pick what to expect, with the role tap. Returns `false` if the
    /// proxy did not store it; then nothing may wait for pick.
    fn mark(&self, marks: &Marks, mark: Mark) -> bool {
        let plugin = &self.plugin;
        let told = || host::set_property(messages::MARK, &marks.with(mark, &plugin.pair));
        plugin.is_tap() && plugin.checked(told()).is_some()
    }

    /// Asks for an uncompressed answer, because the name of what a server keeps is read from it.
    /// Changes nothing where nothing is placed.
    fn ask_for_a_plain_answer(&self, head: &Head) {
        let places = || {
            let pool = self.plugin.pool(head, head.model.as_deref());
            pool.is_some_and(|(_, mode)| mode != Mode::Observe)
        };
        if head.tells && places() {
            let removed = host::remove_header(Map::HttpRequestHeaders, "accept-encoding");
            self.plugin.checked(removed);
        }
    }

    /// Decides by the headers alone.
    ///
    /// - `is_all`: there is no body.
    fn place_now(&mut self, head: &Head, marks: &Marks, is_all: bool) -> Action {
        self.mark(marks, Mark::Settled);
        self.place(head, None, Way::Here, is_all);
        Action::Continue
    }

    /// Begins to read the body. The headers are held for that.
    fn hold(&mut self, head: Head, marks: &Marks) -> Action {
        let action = match self.plugin.is_tap() {
            true if !self.mark(marks, Mark::Follows) => {
                return self.place_now(&head, marks, false);
            }
            true => Action::Continue,
            false => Action::Pause,
        };
        let since = self.plugin.holding.ticks();
        self.reading = Some(Box::new(BodyReading::new(head, since)));
        action
    }
}
