//! One trait for the books of all rules.

use std::fmt::Debug;
use std::rc::Rc;

use trimtab_loadtable::Report;
use trimtab_pick::{
    Booking, Decision, EndpointId, Millis, Outcome, Policy, Request, Rng, Sends, Snapshot,
};
use trimtab_report::{Books, Counted, Sent};

/// The [`Books`] of a picker of any rule. All requests are counted as whole.
pub(crate) trait Decider: Debug {
    fn on_table(&mut self, snapshot: Rc<Snapshot>, reported: Option<Sends>);
    fn snapshot(&self) -> Option<&Rc<Snapshot>>;
    fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision;
    fn on_sent(&mut self, now: Millis, to: (EndpointId, &Rc<str>), booking: &Booking) -> Sent;
    fn on_rerouted(
        &mut self,
        now: Millis,
        sent: Sent,
        to: Option<(EndpointId, &Rc<str>)>,
        booking: &Booking,
    ) -> Option<Sent>;
    fn on_first_byte(&mut self, now: Millis, sent: &mut Sent);
    fn on_done(&mut self, sent: Sent, failed: bool);
    fn on_outcome(&mut self, now: Millis, sent: &mut Sent, outcome: Outcome);
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId);
    fn probe_next(&mut self, endpoint: EndpointId);
    fn is_changed(&self) -> bool;
    fn write(&mut self, pool: &str, worker: u64, taken: u64) -> (u64, Report);
    fn sends(&self, report: u64) -> Option<Sends>;
}

impl<P: Policy> Decider for Books<P> {
    fn on_table(&mut self, snapshot: Rc<Snapshot>, reported: Option<Sends>) {
        self.on_table(snapshot, reported);
    }
    fn snapshot(&self) -> Option<&Rc<Snapshot>> {
        self.picker().snapshot()
    }
    fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision {
        self.choose(now, rng, request)
    }
    fn on_sent(&mut self, now: Millis, to: (EndpointId, &Rc<str>), booking: &Booking) -> Sent {
        self.on_sent(now, to.0, to.1, booking, Counted::Whole)
    }
    fn on_rerouted(
        &mut self,
        now: Millis,
        sent: Sent,
        to: Option<(EndpointId, &Rc<str>)>,
        booking: &Booking,
    ) -> Option<Sent> {
        self.on_rerouted(now, sent, to, booking)
    }
    fn on_first_byte(&mut self, now: Millis, sent: &mut Sent) {
        self.on_first_byte(now, sent);
    }
    fn on_done(&mut self, sent: Sent, failed: bool) {
        self.on_done(sent, failed);
    }
    fn on_outcome(&mut self, now: Millis, sent: &mut Sent, outcome: Outcome) {
        let _is_out = self.on_outcome(now, sent, outcome);
    }
    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.picker_mut().on_told(now, key, endpoint);
    }
    fn probe_next(&mut self, endpoint: EndpointId) {
        self.picker_mut().probe_next(endpoint);
    }
    fn is_changed(&self) -> bool {
        self.is_changed()
    }
    fn write(&mut self, pool: &str, worker: u64, taken: u64) -> (u64, Report) {
        self.write(pool, worker, taken)
    }
    fn sends(&self, report: u64) -> Option<Sends> {
        self.sends(report)
    }
}
