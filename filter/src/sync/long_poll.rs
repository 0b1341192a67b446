//! The long poll to the aggregator, as a state machine.
//!
//! Comes in: time, tokens of call-outs, how they ended. Goes out: whether to call now. Never: more
//! than one call under way, a hostcall, or on average more than one call in [`MIN_GAP_MS`],
//! whatever the aggregator answers.

use trimtab_pick::{Millis, Rng};

use crate::metrics::SyncErrors;

/// Least time between two calls on average, in milliseconds.
const MIN_GAP_MS: u64 = 10;
/// How far calls may be ahead of that average for a moment, in milliseconds. Answers of an
/// aggregator that keeps to the gap jitter on their way. Without slack, an early answer would delay
/// the next call until the next tick.
const SLACK_MS: u64 = 4 * MIN_GAP_MS;
/// Wait after the first failure, and its limit, in milliseconds. It doubles with each failure; the
/// actual wait is drawn between half and all of it.
const BACKOFF_MS: u64 = 200;
const MAX_BACKOFF_MS: u64 = 5_000;
/// Time that a call may take beyond the time for which the aggregator may hold it, in milliseconds.
const GRACE_MS: u32 = 2_000;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `200`: a table.
    Table,
    /// `204`: no newer table within the wait.
    NoNewer,
    /// Anything else.
    Failed(SyncErrors),
}

impl Answer {
    /// Reads the answer's `:status`. The proxy itself answers 503 or 504 if it gets no answer.
    pub(crate) fn of(status: Option<&[u8]>) -> Self {
        match status {
            Some(b"200") => Self::Table,
            Some(b"204") => Self::NoNewer,
            Some(b"401" | b"403") => Self::Failed(SyncErrors::Forbidden),
            Some(b"404") => Self::Failed(SyncErrors::UnknownPool),
            Some(b"400" | b"413") => Self::Failed(SyncErrors::ReportRefused),
            Some(b"503") => Self::Failed(SyncErrors::Unreachable),
            Some(b"504") => Self::Failed(SyncErrors::Timeout),
            Some(_) => Self::Failed(SyncErrors::UnexpectedStatus),
            None => Self::Failed(SyncErrors::NoAnswer),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle { until: Millis },
    Waiting { token: u32 },
}

/// One proxy's polls to the aggregator.
#[derive(Debug)]
pub(crate) struct Sync {
    state: State,
    called_at: Millis,
    /// The earliest time for the next call, if every call kept to the gap.
    earliest: Millis,
    failures: u32,
}

impl Sync {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Idle { until: Millis(0) },
            called_at: Millis(0),
            earliest: Millis(0),
            failures: 0,
        }
    }

    /// Returns the timeout of a call whose answer may be held for `wait_ms`.
    pub(crate) fn timeout_ms(wait_ms: u32) -> u32 {
        wait_ms.saturating_add(GRACE_MS)
    }

    /// Whether to call now. A call whose end the proxy never reported is given up: [`Due::Lost`].
    pub(crate) fn is_due(&mut self, now: Millis, wait_ms: u32, rng: &mut Rng) -> Due {
        if let State::Waiting { .. } = self.state {
            let given_up_after_ms = u64::from(Self::timeout_ms(wait_ms)) + u64::from(GRACE_MS);
            if now.since(self.called_at) < given_up_after_ms {
                return Due::No;
            }
            self.on_failed(now, rng);
            return Due::Lost;
        }
        match self.state {
            State::Idle { until } if now >= until || until.since(now) > MAX_BACKOFF_MS => Due::Now,
            _ => Due::No,
        }
    }

    /// The call is under way.
    pub(crate) fn on_called(&mut self, now: Millis, token: u32) {
        self.state = State::Waiting { token };
        self.called_at = now;
        let slack = Millis(now.0.saturating_sub(SLACK_MS));
        let earliest = self.earliest.max(slack).min(now);
        self.earliest = Millis(earliest.0.saturating_add(MIN_GAP_MS));
    }

    /// Whether a call that ended is the one under way. If not, it is to be ignored.
    pub(crate) fn is_mine(&self, token: u32) -> bool {
        self.state == State::Waiting { token }
    }

    /// The call brought an answer. The next may follow at once.
    pub(crate) fn on_answered(&mut self) {
        self.failures = 0;
        self.state = State::Idle {
            until: self.earliest,
        };
    }

    /// The call failed, or could not be made.
    pub(crate) fn on_failed(&mut self, now: Millis, rng: &mut Rng) {
        let backoff_ms = (BACKOFF_MS << self.failures.min(16)).min(MAX_BACKOFF_MS);
        self.failures = self.failures.saturating_add(1);
        let jittered_ms = backoff_ms / 2 + rng.next_u64() % (backoff_ms / 2 + 1);
        self.state = State::Idle {
            until: Millis(now.0.saturating_add(jittered_ms)),
        };
    }
}

/// Whether to make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    No,
    /// The proxy never reported how the last call ended.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT_MS: u32 = 10_000;

    #[test]
    fn one_call_is_under_way_at_a_time() {
        let (mut sync, mut rng) = (Sync::new(), Rng::new(1));
        assert_eq!(sync.is_due(Millis(1_000), WAIT_MS, &mut rng), Due::Now);
        sync.on_called(Millis(1_000), 7);
        assert_eq!(sync.is_due(Millis(9_000), WAIT_MS, &mut rng), Due::No);
        assert!(!sync.is_mine(6) && sync.is_mine(7));
        sync.on_answered();
        assert_eq!(sync.is_due(Millis(9_001), WAIT_MS, &mut rng), Due::Now);
    }

    #[test]
    fn an_aggregator_that_answers_at_once_is_not_called_in_a_loop() {
        let (mut sync, mut rng) = (Sync::new(), Rng::new(1));
        let calls = (0..1_000_u64)
            .filter(|ms| {
                let due = sync.is_due(Millis(5_000 + ms), WAIT_MS, &mut rng) == Due::Now;
                if due {
                    sync.on_called(Millis(5_000 + ms), 1);
                    sync.on_answered();
                }
                due
            })
            .count();
        assert_eq!(calls, 100 + 4, "one in 10 ms, and a few ahead of time");
    }

    #[test]
    fn failures_back_off_to_a_limit_and_a_success_ends_that() {
        let (mut sync, mut rng) = (Sync::new(), Rng::new(1));
        let mut now = 1_000;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let from = now;
            sync.on_failed(Millis(now), &mut rng);
            while sync.is_due(Millis(now), WAIT_MS, &mut rng) != Due::Now {
                now += 1;
            }
            waits.push(now - from);
        }
        for (index, wait) in waits.iter().enumerate() {
            let full = (BACKOFF_MS << index.min(16)).min(MAX_BACKOFF_MS);
            assert!((full / 2..=full).contains(wait), "{waits:?}");
        }
        sync.on_called(Millis(now), 1);
        sync.on_answered();
        assert_eq!(
            sync.is_due(Millis(now + MIN_GAP_MS), WAIT_MS, &mut rng),
            Due::Now
        );
    }

    #[test]
    fn a_call_that_never_ends_is_given_up() {
        let (mut sync, mut rng) = (Sync::new(), Rng::new(1));
        sync.on_called(Millis(0), 1);
        assert_eq!(sync.is_due(Millis(13_999), WAIT_MS, &mut rng), Due::No);
        assert_eq!(sync.is_due(Millis(14_000), WAIT_MS, &mut rng), Due::Lost);
        assert!(!sync.is_mine(1));
    }

    #[test]
    fn a_clock_that_steps_back_does_not_stop_the_calls() {
        let (mut sync, mut rng) = (Sync::new(), Rng::new(1));
        sync.on_failed(Millis(1_000_000), &mut rng);
        assert_eq!(sync.is_due(Millis(1_000), WAIT_MS, &mut rng), Due::Now);
    }
}
