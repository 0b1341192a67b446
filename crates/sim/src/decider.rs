//! One trait for the pickers of all rules.

use std::fmt::Debug;
use std::rc::Rc;

use trimtab_pick::{
    Booking, Decision, EndpointId, Millis, Outcome, Picker, Policy, Request, Rng, Sends, Snapshot,
    Ticket,
};

/// A [`Picker`] of any rule.
pub(crate) trait Decider: Debug {
    fn on_table(&mut self, snapshot: Rc<Snapshot>, reported: Option<Sends>);
    fn snapshot(&self) -> Option<&Rc<Snapshot>>;
    fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision;
    fn on_sent(&mut self, now: Millis, endpoint: EndpointId, booking: &Booking) -> Ticket;
    fn on_first_byte(&mut self, now: Millis, ticket: &mut Ticket);
    fn on_done(&mut self, ticket: Ticket);
    fn on_outcome(&mut self, now: Millis, ticket: &mut Ticket, outcome: Outcome);
    fn sends(&self) -> Sends;
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId);
    fn take_moved(&mut self) -> Vec<(u64, EndpointId)>;
    fn probe_next(&mut self, endpoint: EndpointId);
}

impl<P: Policy> Decider for Picker<P> {
    fn on_table(&mut self, snapshot: Rc<Snapshot>, reported: Option<Sends>) {
        self.on_table(snapshot, reported);
    }
    fn snapshot(&self) -> Option<&Rc<Snapshot>> {
        self.snapshot()
    }
    fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision {
        self.choose(now, rng, request)
    }
    fn on_sent(&mut self, now: Millis, endpoint: EndpointId, booking: &Booking) -> Ticket {
        self.on_sent(now, endpoint, booking)
    }
    fn on_first_byte(&mut self, now: Millis, ticket: &mut Ticket) {
        self.on_first_byte(now, ticket);
    }
    fn on_done(&mut self, ticket: Ticket) {
        self.on_done(ticket);
    }
    fn on_outcome(&mut self, now: Millis, ticket: &mut Ticket, outcome: Outcome) {
        let _is_out = self.on_outcome(now, ticket, outcome);
    }
    fn sends(&self) -> Sends {
        self.sends()
    }
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.on_told(now, key, endpoint);
    }
    fn probe_next(&mut self, endpoint: EndpointId) {
        self.probe_next(endpoint);
    }
    fn take_moved(&mut self) -> Vec<(u64, EndpointId)> {
        let mut moved = Vec::new();
        self.take_moved(|key, endpoint| moved.push((key, endpoint)));
        moved
    }
}
