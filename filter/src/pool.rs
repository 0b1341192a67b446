//! One pool of a plugin in one VM: its table, its decisions, its requests in flight, and what it
//! knows of the proxy.
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
mod searches;
pub(crate) mod state;
pub(crate) mod table;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use trimtab_pick::{Millis, Rng};

use crate::config::Config;
use crate::host::{self, HostError, Level};
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
    /// Number of this worker; no other worker of the proxy has it.
    pub(crate) worker_number: u64,
    /// The proxy's number in reports, if this worker is the first to take the lease.
    pub(crate) proxy_number: u64,
    /// The shared table last looked at, whether it was adopted or not.
    pub(crate) seen_stamp: Cell<Option<Stamp>>,
    /// Whether to ask what became of requests.
    pub(crate) sampling: OutcomeSampling,
    /// Whether requests go where their destination header says.
    pub(crate) override_check: OverrideCheck,
    /// The proxy's number in reports, as read from the lease. Absent: not read yet.
    pub(crate) known_proxy: Cell<Option<u64>>,
    /// The probe last looked at, whichever worker took it.
    pub(crate) probed: Cell<Option<Probed>>,
    reported: Reported,
    state: RefCell<PoolState>,
    last_now_ns: Cell<u64>,
}

impl Pool {
    /// Creates a pool without a table.
    ///
    /// - `worker_number`: a number that no other worker has.
    /// - `entropy`: what no other proxy has.
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
            name: name.into(),
            config,
        }
    }

    /// Runs `run` on the state. Returns `None` on re-entrance: the host calls back during a
    /// hostcall. That should not happen; returning `None` avoids a `RefCell` panic, which would
    /// trap the VM.
    pub(crate) fn with<R>(&self, run: impl FnOnce(&mut PoolState) -> R) -> Option<R> {
        self.state
            .try_borrow_mut()
            .ok()
            .map(|mut state| run(&mut state))
    }

    /// Returns the host's time. If the host does not answer, the last time that it gave.
    pub(crate) fn now_ns(&self) -> u64 {
        match host::now_ns() {
            Ok(now_ns) => self.last_now_ns.set(now_ns),
            Err(error) => self.count_error(error),
        }
        self.last_now_ns.get()
    }

    /// Returns the time that was last asked for, at most a tick ago. That is good enough for what
    /// follows a decision, and saves a hostcall each time.
    pub(crate) fn recent_ns(&self) -> u64 {
        self.last_now_ns.get()
    }

    pub(crate) fn count_error(&self, error: HostError) {
        self.with(|state| state.metrics.count(error));
    }

    /// Counts a hostcall that failed. Returns `None` for it.
    pub(crate) fn checked<T>(&self, result: Result<T, HostError>) -> Option<T> {
        result.map_err(|error| self.count_error(error)).ok()
    }

    /// Logs what is wrong with the sync. Each kind of problem is logged once, until the sync works
    /// again.
    pub(crate) fn warn_once(
        &self,
        state: &mut PoolState,
        kind: &'static str,
        level: Level,
        message: &str,
    ) {
        if !state.sync_problems.contains(&kind) {
            state.sync_problems.push(kind);
            self.log(level, message);
        }
    }

    /// A table has come, so the sync works. Who has read of a problem must read this too, so it has
    /// the same level.
    pub(crate) fn on_good_sync(&self, state: &mut PoolState) {
        if !std::mem::take(&mut state.sync_problems).is_empty() {
            self.log(Level::Warn, "sync works again");
        }
    }

    /// Counts a mistake of the setup that a request of this pool has met. Logs each kind once.
    pub(crate) fn fault(&self, fault: Fault) {
        self.with(|state| state.metrics.count(fault));
        if self.reported.is_first(fault) {
            self.log(Level::Warn, &fault.to_string());
        }
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, &format!("trimtab {}: {message}", self.name));
    }
}

/// Converts the host's time to the picker's.
pub(crate) fn millis(ns: u64) -> Millis {
    Millis(ns / 1_000_000)
}
