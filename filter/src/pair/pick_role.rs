//! The role *pick* of the two-plugin form. It holds the headers of a request until the plugin with
//! the role *tap*, which sees the body, says where the request shall go. It decides nothing and
//! knows no table.
//!
//! A request waits for a message or for [`PickPlugin::patience`], whichever comes first, and goes
//! on either way.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::config::Config;
use crate::host::{self, Action, HostError, Level, Map};
use crate::metrics::{Counter, Event, Metrics};
use crate::pair::messages::{self, Fault, Mark, Marks, Message, Reported, Seat};
use crate::request::destination_header;

/// Added to tap's own time for a decision, in milliseconds.
const GRACE_MS: u64 = 500;
/// The most messages read at once; more than any queue holds.
const MAX_MESSAGES: usize = 10_000;

/// One configured plugin of this role in one VM.
#[derive(Debug)]
pub(crate) struct PickPlugin {
    config: Rc<Config>,
    root_id: u32,
    /// The names of the pools.
    pools: String,
    /// The pair, as tap's mark has it.
    pair: String,
    /// Name of the property of its seats.
    seat: String,
    queue: Option<u32>,
    ticks: Cell<u64>,
    /// Requests whose headers are held, by number, with the tick at which the holding began.
    waiting: RefCell<BTreeMap<u32, u64>>,
    metrics: RefCell<Metrics>,
    reported: Reported,
}

impl PickPlugin {
    /// - `queue`: this VM's own queue; absent: the proxy gives none.
    pub(crate) fn new(config: Rc<Config>, root_id: u32, queue: Option<u32>) -> Self {
        let pair = config.pair();
        Self {
            pools: config.pool_names(),
            seat: messages::seat_of(&pair),
            pair,
            metrics: RefCell::new(Metrics::new(
                config.metric_names,
                config.pools.first().map_or("", |pool| &pool.name),
            )),
            config,
            root_id,
            queue,
            ticks: Cell::new(0),
            waiting: RefCell::default(),
            reported: Reported::default(),
        }
    }

    #[inline]
    fn count<E: Event>(&self, event: E) {
        self.count_label(E::COUNTER, event.label());
    }

    fn count_label(&self, counter: Counter, label: &'static str) {
        if let Ok(mut metrics) = self.metrics.try_borrow_mut() {
            metrics.add_to(counter, label, 1);
        }
    }

    /// Counts a hostcall that failed. Returns `None` for it.
    pub(crate) fn checked<T>(&self, result: Result<T, HostError>) -> Option<T> {
        result.map_err(|error| self.count(error)).ok()
    }

    fn fault(&self, fault: Fault) {
        self.count(fault);
        if self.reported.is_first(fault) {
            host::log(Level::Warn, &format!("trimtab {}: {fault}", self.pools));
        }
    }

    /// Returns the number of ticks after which a request goes on without a message of tap.
    fn patience(&self) -> u64 {
        let patience_ms = self.config.decide_within_ms + GRACE_MS;
        patience_ms.div_ceil(u64::from(self.config.tick_ms.max(1)))
    }

    /// Handles the headers of a request.
    fn on_request_headers(&self, context_id: u32) -> Action {
        let marks = Marks::new(self.checked(host::property(messages::MARK)).flatten());
        match marks.of(&self.pair) {
            Some(Mark::Follows) => {}
            Some(_) => return Action::Continue,
            None => {
                self.on_unmarked(&marks);
                return Action::Continue;
            }
        }
        let seat = match self.queue {
            None => {
                self.fault(Fault::NoQueue);
                Seat::Refused
            }
            Some(queue) => Seat::Waits { queue, context_id },
        };
        let told = self.checked(host::set_property(&self.seat, &seat.encode()));
        if told.is_none() || seat == Seat::Refused {
            return Action::Continue;
        }
        match self.waiting(|waiting| waiting.insert(context_id, self.ticks.get())) {
            Some(_) => Action::Pause,
            None => Action::Continue,
        }
    }

    /// Handles a request without its tap's mark: it is not to be placed, or there is no such tap. A
    /// forged destination must not get through.
    ///
    /// - `marks`: those of other pairs, which have removed it.
    fn on_unmarked(&self, marks: &Marks) {
        for name in self.config.own_headers().filter(|_| marks.is_empty()) {
            self.checked(host::remove_header(Map::HttpRequestHeaders, name));
        }
        let header = |name| {
            self.checked(host::header(Map::HttpRequestHeaders, name))
                .flatten()
        };
        let path = header(":path").unwrap_or_default();
        if self.config.is_completion_target(&path)
            && header(":method").as_deref() == Some(b"POST")
            && header("upgrade").is_none()
        {
            self.fault(match marks.is_empty() {
                true => Fault::NoTap,
                false => Fault::OtherPools,
            });
        }
    }

    /// Reads the messages of tap from the queue. The proxy makes a callback for each message, even
    /// if it has been read by then.
    pub(crate) fn on_queue_ready(&self, queue: u32) {
        for _ in 0..MAX_MESSAGES {
            let Some(message) = self.checked(host::dequeue(queue)).flatten() else {
                break;
            };
            if let Some(message) = Message::decode(&message) {
                self.let_go(message.context_id, Some(message.hosts));
            }
        }
        self.checked(host::set_effective_context(self.root_id));
    }

    /// Lets a request go on, if it waits. If the proxy refuses, the request stays, and the next
    /// tick tries again.
    ///
    /// - `hosts`: what tap says; empty: no destination. Absent: tap is late.
    fn let_go(&self, context_id: u32, hosts: Option<&str>) {
        let waits = |waiting: &mut BTreeMap<u32, u64>| waiting.contains_key(&context_id);
        if !self.waiting(waits).unwrap_or(false)
            || self
                .checked(host::set_effective_context(context_id))
                .is_none()
        {
            return;
        }
        match hosts {
            Some("") => {}
            Some(hosts) => _ = self.checked(destination_header::set_header(&self.config, hosts)),
            // Tap must not take a later decision for one that has an effect.
            None => {
                _ = self.checked(host::set_property(&self.seat, &Seat::Refused.encode()));
            }
        }
        if self.checked(host::continue_request()).is_some() {
            self.waiting(|waiting| waiting.remove(&context_id));
        }
    }

    /// Runs `run` on the requests that wait. Returns `None` if the proxy called back during a
    /// hostcall.
    fn waiting<R>(&self, run: impl FnOnce(&mut BTreeMap<u32, u64>) -> R) -> Option<R> {
        let waiting = self.waiting.try_borrow_mut();
        waiting.ok().map(|mut waiting| run(&mut waiting))
    }

    /// Lets requests go on without a destination that have waited for at least `patience` ticks.
    fn let_overdue_go(&self, patience: u64) {
        let now = self.ticks.get();
        let overdue = self.waiting(|waiting| {
            let age = |since: &u64| now.saturating_sub(*since);
            let overdue = waiting.iter().filter(|(_, since)| age(since) >= patience);
            let overdue = overdue.map(|(context_id, since)| (*context_id, age(since) == patience));
            overdue.collect::<Vec<_>>()
        });
        let overdue = overdue.unwrap_or_default();
        for (context_id, first) in &overdue {
            // With a patience of 0 the plugin is removed or replaced, so tap is not late.
            if *first && patience > 0 {
                self.fault(Fault::Late);
            }
            self.let_go(*context_id, None);
        }
        if !overdue.is_empty() {
            self.checked(host::set_effective_context(self.root_id));
        }
    }

    /// Handles a tick.
    pub(crate) fn on_tick(&self) {
        self.ticks.set(self.ticks.get().saturating_add(1));
        self.let_overdue_go(self.patience() + 1);
        let flushed = self
            .metrics
            .try_borrow_mut()
            .map(|mut metrics| metrics.flush());
        if let Ok(flushed) = flushed {
            self.checked(flushed);
        }
    }

    /// The plugin is removed or gets another configuration: no more messages come to this one.
    pub(crate) fn on_done(&self) {
        self.let_overdue_go(0);
    }
}

/// One request of a plugin with the role pick.
#[derive(Debug)]
pub(crate) struct Gated {
    gate: Rc<PickPlugin>,
    context_id: u32,
}

impl Gated {
    pub(crate) fn new(gate: Rc<PickPlugin>, context_id: u32) -> Self {
        Self { gate, context_id }
    }

    /// Handles the request's headers.
    pub(crate) fn on_request_headers(&self) -> Action {
        self.gate.on_request_headers(self.context_id)
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.gate
            .waiting(|waiting| waiting.remove(&self.context_id));
    }
}
