//! One decider: the newest snapshot and its own work in flight.

use alloc::rc::Rc;

use crate::{Choices, Decision, EndpointId, Millis, Reason, Request, Rng, Snapshot};

/// Validated parameters of the decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A table older than this is not used, in milliseconds.
    pub table_max_age_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { table_max_age_ms: 3_000 }
    }
}

/// One request that was sent, to be handed back when it starts and ends.
#[derive(Debug)]
#[must_use = "a ticket that is dropped leaves its request in flight for ever"]
pub struct Ticket {
    endpoint: EndpointId,
}

impl Ticket {
    /// Where the request went.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }
}

/// One decider.
#[derive(Debug)]
pub struct Picker {
    config: Config,
    snapshot: Option<Rc<Snapshot>>,
}

impl Picker {
    /// A decider without a table.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, snapshot: None }
    }

    /// A new table came.
    pub fn on_table(&mut self, snapshot: Rc<Snapshot>) {
        self.snapshot = Some(snapshot);
    }

    /// Chooses where `request` should go. Total: it cannot fail, only have no opinion.
    pub fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision {
        let _ = (now, rng, request, &self.config);
        Decision { choices: Choices::default(), reason: Reason::NoTable, wait_s: None, candidates: 0 }
    }

    /// The request was sent to `endpoint` (one of the choices, or whatever the proxy chose by itself).
    pub fn on_sent(&mut self, now: Millis, endpoint: EndpointId, request: &Request) -> Ticket {
        let _ = (now, request);
        Ticket { endpoint }
    }

    /// The first byte of the answer's body came.
    pub fn on_first_byte(&mut self, now: Millis, ticket: &mut Ticket) {
        let _ = (now, ticket);
    }

    /// The request ended, in whatever way.
    pub fn on_done(&mut self, now: Millis, ticket: Ticket) {
        let _ = (now, ticket);
    }
}
