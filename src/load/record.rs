//! What is known of one request, and of all of them so far.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Failure;

/// One request, over.
#[derive(Debug, Clone)]
pub struct Record {
    /// Session and turn within it, from 0.
    pub session: u64,
    /// Turn within the session, from 0.
    pub turn: u32,
    /// Kind of session.
    pub family: Arc<str>,
    /// When the schedule has it, in seconds after the start of the run; the same in every lane.
    pub scheduled_s: f64,
    /// When it could be sent: as scheduled, or when the lane had answered the turn before.
    pub due_s: f64,
    /// When it was.
    pub sent_s: f64,
    /// Seconds from sending to the first text; absent: none came.
    pub ttft_s: Option<f64>,
    /// Seconds per output token after the first; absent: fewer than two tokens.
    pub tpot_s: Option<f64>,
    /// Prompt tokens: what the server counted, else what was planned.
    pub prompt_tokens: u32,
    /// Prompt tokens that the server's prefix cache held.
    pub cached_tokens: u32,
    /// Answer tokens.
    pub output_tokens: u32,
    /// Who served it; absent: nobody says.
    pub endpoint: Option<String>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// A lane's requests while the run goes on; shared between its senders and the live view.
#[derive(Debug, Default)]
pub struct Progress {
    in_flight: AtomicUsize,
    skipped: AtomicUsize,
    records: Mutex<Vec<Record>>,
    recent: Mutex<VecDeque<(Instant, f64)>>,
}

/// How many of the newest times to first token the live view looks at, at most.
const RECENT: usize = 2_000;

impl Progress {
    pub(super) fn on_sent(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn on_first(&self, now: Instant, ttft_s: f64) {
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((now, ttft_s));
    }

    pub(super) fn on_done(&self, record: Record) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        lock(&self.records).push(record);
    }

    /// Requests sent and not over.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn on_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests scheduled before the stop that the lane was too far behind to send.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Times to first token since `since`, unsorted, in seconds.
    #[must_use]
    pub fn recent_ttft_s(&self, since: Instant) -> Vec<f64> {
        lock(&self.recent)
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, ttft_s)| *ttft_s)
            .collect()
    }

    /// Looks at the records so far, in the order in which the requests ended.
    pub fn with_records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&lock(&self.records))
    }
}

/// No code that holds these locks can panic half-way through a change, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
