//! The record of one request, and the progress of a whole lane.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Failure;

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Record {
    /// Index of the session.
    pub session: u64,
    /// Number of the turn within the session, from 0.
    pub turn: u32,
    /// Kind of session.
    pub family: Arc<str>,
    /// Scheduled time in seconds after the start of the run; the same in every lane.
    pub scheduled_s: f64,
    /// When the request could be sent, in seconds after the start: as scheduled, or after the
    /// answer to the turn before.
    pub due_s: f64,
    /// When the request was sent, in seconds after the start.
    pub sent_s: f64,
    /// Seconds from sending to the first text; absent if none came.
    pub ttft_s: Option<f64>,
    /// Seconds per output token after the first; absent with fewer than two tokens.
    pub tpot_s: Option<f64>,
    /// Prompt tokens as the server counted them, else as planned.
    pub prompt_tokens: u32,
    /// Prompt tokens that the server's prefix cache held; 0 if the server does not say.
    pub cached_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// The endpoint that served the request; absent if it is unknown.
    pub endpoint: Option<String>,
    /// The filter's reasons for that endpoint; absent if no filter decided.
    pub decision: Option<String>,
    /// Why the request failed; absent if it did not.
    pub failure: Option<Failure>,
}

/// A lane's requests during the run. Its senders and the live view share it.
#[derive(Debug, Default)]
pub struct Progress {
    in_flight: AtomicUsize,
    /// When the requests that were not sent were scheduled, in seconds after the start.
    skipped_s: Mutex<Vec<f64>>,
    records: Mutex<Vec<Record>>,
    recent: Mutex<VecDeque<(Instant, f64)>>,
}

/// Most times to first token that are kept for the live view.
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

    /// Returns the number of requests that were sent and are not over.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn on_skipped(&self, scheduled_s: f64) {
        lock(&self.skipped_s).push(scheduled_s);
    }

    /// Returns the number of requests that were scheduled in a window and not sent, because the
    /// lane was too far behind.
    ///
    /// - `window`: begin and end in seconds after the start; the end is outside.
    #[must_use]
    pub fn skipped(&self, window: (f64, f64)) -> usize {
        lock(&self.skipped_s)
            .iter()
            .filter(|at| (window.0..window.1).contains(*at))
            .count()
    }

    /// Returns the times to first token that came since `since`, unsorted, in seconds.
    #[must_use]
    pub fn recent_ttft_s(&self, since: Instant) -> Vec<f64> {
        lock(&self.recent)
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, ttft_s)| *ttft_s)
            .collect()
    }

    /// Calls `look` with the records so far, in the order in which the requests ended.
    pub fn with_records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&lock(&self.records))
    }
}

/// Locks a mutex and ignores poison. No code that holds these locks can panic in the middle of a
/// change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_were_not_sent_count_in_the_window_of_their_schedule() {
        let progress = Progress::default();
        for at_s in [3.0, 10.0, 19.9, 20.0] {
            progress.on_skipped(at_s);
        }
        assert_eq!(progress.skipped((10.0, 20.0)), 2);
        assert_eq!(progress.skipped((0.0, 10.0)), 1);
    }
}
