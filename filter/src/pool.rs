//! One pool of a plugin in one VM: its table, its decisions, its requests in flight, and what it knows of the proxy.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

pub(crate) mod choice;
pub(crate) mod explain;
pub(crate) mod kept_names;
pub(crate) mod outcome;
pub(crate) mod outcome_sampling;
pub(crate) mod override_check;
pub(crate) mod probing;
pub(crate) mod state;
pub(crate) mod table;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use trimtab_pick::{Millis, Rng};

use crate::config::Config;
use crate::host::{self, HostError, Level};
use crate::metrics::Counter;
use crate::pair::messages::{Fault, Reported};
use crate::pool::outcome_sampling::OutcomeSampling;
use crate::pool::override_check::OverrideCheck;
use crate::pool::state::PoolState;
use crate::sync::shared::{Keys, Probed, Stamp};

/// One pool of a plugin in one VM.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: Rc<Config>,
    /// The pool's name.
    pub(crate) name: Rc<str>,
    pub(crate) keys: Keys,
    /// Tells this worker from the others of the proxy.
    pub(crate) worker_number: u64,
    /// The proxy's number, if this worker is its first.
    pub(crate) proxy_number: u64,
    /// The shared table last looked at, whether it was taken or not.
    pub(crate) seen_stamp: Cell<Option<Stamp>>,
    /// Whether to ask what became of requests.
    pub(crate) sampling: OutcomeSampling,
    /// Whether requests go where they are sent.
    pub(crate) override_check: OverrideCheck,
    /// The proxy's number in reports, as the lease tells it.
    pub(crate) known_proxy: Cell<Option<u64>>,
    /// The probe last looked at, whoever took it.
    pub(crate) probed: Cell<Option<Probed>>,
    reported: Reported,
    state: RefCell<PoolState>,
    last_now_ns: Cell<u64>,
    warned: Cell<bool>,
}

impl Pool {
    /// `worker_number`: one that no other worker has. `entropy`: what no other proxy has.
    pub(crate) fn new(
        config: Rc<Config>,
        name: &str,
        keys: Keys,
        worker_number: u64,
        entropy: u64,
    ) -> Self {
        let mut rng = Rng::new(entropy ^ worker_number);
        Self {
            keys,
            worker_number,
            proxy_number: rng.next_u64(),
            seen_stamp: Cell::new(None),
            state: RefCell::new(PoolState::new(
                &config,
                name,
                config.seed.unwrap_or_else(|| rng.next_u64()),
            )),
            sampling: OutcomeSampling::default(),
            override_check: OverrideCheck::default(),
            known_proxy: Cell::new(None),
            probed: Cell::new(None),
            reported: Reported::default(),
            last_now_ns: Cell::new(0),
            warned: Cell::new(false),
            name: name.into(),
            config,
        }
    }

    /// Runs something on the worker. `None`: the host called us while we were calling it, which nothing here needs to survive but a panic
    /// would not.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&mut PoolState) -> R) -> Option<R> {
        self.state
            .try_borrow_mut()
            .ok()
            .map(|mut state| run(&mut state))
    }

    /// The time. When the host does not tell, the last that it told.
    pub(crate) fn now_ns(&self) -> u64 {
        match host::now_ns() {
            Ok(now_ns) => self.last_now_ns.set(now_ns),
            Err(error) => self.count_error(error),
        }
        self.last_now_ns.get()
    }

    /// The time that was last asked for, at most a tick ago. Good enough for what follows a decision, and saves a hostcall each.
    pub(crate) fn recent_ns(&self) -> u64 {
        self.last_now_ns.get()
    }

    pub(crate) fn count_error(&self, error: HostError) {
        self.with(|state| state.metrics.count_error(error));
    }

    /// Counts a hostcall that failed and goes on.
    pub(crate) fn checked<T>(&self, result: Result<T, HostError>) -> Option<T> {
        result.map_err(|error| self.count_error(error)).ok()
    }

    /// Says what is wrong with the sync once, until it works again.
    pub(crate) fn warn_once(&self, level: Level, message: &str) {
        if !self.warned.replace(true) {
            self.log(level, message);
        }
    }

    /// A table came after all.
    pub(crate) fn on_good_sync(&self) {
        if self.warned.replace(false) {
            self.log(Level::Info, "sync works again");
        }
    }

    /// A request of this pool has met a mistake of the setup: counts it, and says so once.
    pub(crate) fn fault(&self, fault: Fault) {
        self.with(|state| state.metrics.count(Counter::SetupErrors, fault.label()));
        if self.reported.is_first(fault) {
            self.log(Level::Warn, &fault.to_string());
        }
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, &format!("trimtab {}: {message}", self.name));
    }
}

/// The time as the decision has it.
pub(crate) fn millis(ns: u64) -> Millis {
    Millis(ns / 1_000_000)
}
