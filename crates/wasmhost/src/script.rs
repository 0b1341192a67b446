//! The world of a test: a clock that the test moves, clusters by name, and hostcalls with the
//! answers that the test wants.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::abi::{LogLevel, Status};
use crate::hostcalls::NAMES;
use crate::world::{HttpCall, World};

/// Most log lines and most recorded hostcalls that are kept. Later ones are dropped.
const MAX_KEPT: usize = 100_000;
/// The clock's start: 2026-01-01. With 0, a filter that takes 0 for "not set" would pass its tests.
const START_NS: u64 = 1_767_225_600_000_000_000;

/// A handle. Clones are the same script. Each VM has its own script, see [`Self::sibling`].
#[derive(Debug, Clone)]
pub struct Script {
    clock: Rc<Cell<u64>>,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    clusters: BTreeSet<String>,
    properties: BTreeMap<Vec<u8>, Vec<u8>>,
    calls: Vec<HttpCall>,
    logs: Vec<(LogLevel, String)>,
    every: BTreeMap<String, Status>,
    /// Name of the hostcall (empty = any), the number of calls to let pass, and the status.
    nth: Vec<(String, usize, Status)>,
    record: bool,
    recorded: Vec<Recorded>,
    counts: BTreeMap<&'static str, usize>,
}

/// One hostcall and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Name of the import.
    pub call: &'static str,
    /// The context that the call was about.
    pub context: u32,
    /// The status that the guest got.
    pub status: Status,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// Makes a script without clusters and faults, which records nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Rc::new(Cell::new(START_NS)),
            state: Rc::default(),
        }
    }

    /// Makes a script for another VM on the same clock.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Self {
            clock: Rc::clone(&self.clock),
            state: Rc::default(),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.clock.set(self.clock.get().saturating_add(by));
    }

    /// Moves the clock back, as a machine's wall clock may.
    pub fn step_back(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.clock.set(self.clock.get().saturating_sub(by));
    }

    /// Adds a cluster. Call-outs to unknown clusters answer `BadArgument`.
    pub fn add_cluster(&self, name: &str) {
        self.state.borrow_mut().clusters.insert(name.to_owned());
    }

    /// Removes a cluster.
    pub fn remove_cluster(&self, name: &str) {
        self.state.borrow_mut().clusters.remove(name);
    }

    /// Sets a property that is the same for all streams. Dots separate the parts of `path` here.
    pub fn set_property(&self, path: &str, value: impl AsRef<[u8]>) {
        let path = path.replace('.', "\0").into_bytes();
        self.state
            .borrow_mut()
            .properties
            .insert(path, value.as_ref().to_vec());
    }

    /// From this moment every `call` answers `status` and does nothing.
    ///
    /// # Panics
    /// If there is no such hostcall. A test of an impossible fault would prove nothing.
    #[track_caller]
    pub fn every(&self, call: &str, status: Status) {
        exists(call);
        self.state
            .borrow_mut()
            .every
            .insert(call.to_owned(), status);
    }

    /// The `n`-th `call` from this moment (1 = the next) answers `status` and does nothing.
    ///
    /// # Panics
    /// If there is no such hostcall.
    #[track_caller]
    pub fn nth(&self, call: &str, n: usize, status: Status) {
        exists(call);
        self.push_nth(call, n, status);
    }

    fn push_nth(&self, call: &str, n: usize, status: Status) {
        self.state
            .borrow_mut()
            .nth
            .push((call.to_owned(), n.saturating_sub(1), status));
    }

    /// The `n`-th hostcall of any name from this moment answers `status` and does nothing.
    pub fn nth_of_any(&self, n: usize, status: Status) {
        self.push_nth("", n, status);
    }

    /// Removes all faults of [`Self::every`], [`Self::nth`] and [`Self::nth_of_any`].
    pub fn clear_faults(&self) {
        let mut state = self.state.borrow_mut();
        state.every.clear();
        state.nth.clear();
    }

    /// Returns the call-outs since the last call of this method.
    #[must_use]
    pub fn take_calls(&self) -> Vec<HttpCall> {
        std::mem::take(&mut self.state.borrow_mut().calls)
    }

    /// Returns the guest's log.
    #[must_use]
    pub fn logs(&self) -> Vec<(LogLevel, String)> {
        self.state.borrow().logs.clone()
    }

    /// Returns the lines of the guest's log at `level` or above, joined.
    #[must_use]
    pub fn log_text(&self, level: LogLevel) -> String {
        let state = self.state.borrow();
        let lines = state
            .logs
            .iter()
            .filter(|(own, _)| *own >= level)
            .map(|(_, line)| line.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Starts recording hostcalls. Drops earlier records.
    pub fn record(&self) {
        let mut state = self.state.borrow_mut();
        state.record = true;
        state.recorded.clear();
    }

    /// Stops recording. Returns what was recorded since [`Self::record`].
    #[must_use]
    pub fn take_recorded(&self) -> Vec<Recorded> {
        let mut state = self.state.borrow_mut();
        state.record = false;
        std::mem::take(&mut state.recorded)
    }

    /// Returns how often `call` was made since the start.
    ///
    /// # Panics
    /// If there is no such hostcall.
    #[must_use]
    #[track_caller]
    pub fn count(&self, call: &str) -> usize {
        exists(call);
        self.state.borrow().counts.get(call).copied().unwrap_or(0)
    }

    /// Returns how many hostcalls were made since the start.
    #[must_use]
    pub fn count_all(&self) -> usize {
        self.state.borrow().counts.values().sum()
    }
}

#[track_caller]
fn exists(call: &str) {
    assert!(
        NAMES.contains(&call),
        "there is no hostcall `{call}`; there are {NAMES:?}"
    );
}

impl World for Script {
    fn now_ns(&mut self) -> u64 {
        self.clock.get()
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        let logs = &mut self.state.borrow_mut().logs;
        if logs.len() < MAX_KEPT {
            logs.push((level, String::from_utf8_lossy(message).into_owned()));
        }
    }

    fn http_call(&mut self, call: HttpCall) -> Result<(), Status> {
        let mut state = self.state.borrow_mut();
        if !state.clusters.contains(&call.cluster) {
            return Err(Status::BAD_ARGUMENT);
        }
        state.calls.push(call);
        Ok(())
    }

    fn property(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        self.state.borrow().properties.get(path).cloned()
    }

    fn intercept(&mut self, call: &'static str, _context: u32) -> Option<Status> {
        let mut state = self.state.borrow_mut();
        let mut due = None;
        state.nth.retain_mut(|(name, left, status)| {
            if !name.is_empty() && name != call {
                return true;
            }
            if *left == 0 {
                due = due.or(Some(*status));
                return false;
            }
            *left -= 1;
            true
        });
        due.or_else(|| state.every.get(call).copied())
    }

    fn answered(&mut self, call: &'static str, context: u32, status: Status) {
        let mut state = self.state.borrow_mut();
        *state.counts.entry(call).or_default() += 1;
        if state.record && state.recorded.len() < MAX_KEPT {
            state.recorded.push(Recorded {
                call,
                context,
                status,
            });
        }
    }
}
