//! When an endpoint is tried out with a request.

use std::time::Duration;

/// From one try to the next, at first and at most; twice as long each time.
const FIRST_GAP: Duration = Duration::from_secs(1);
const LAST_GAP: Duration = Duration::from_secs(60);

/// How an endpoint is tried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    due: Duration,
    gap: Duration,
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            due: Duration::ZERO,
            gap: FIRST_GAP,
        }
    }
}

impl Tries {
    /// A request was sent to try it out: the next waits longer.
    pub(crate) fn on_sent(&mut self, now: Duration) {
        self.due = now.saturating_add(self.gap);
        self.gap = self.gap.saturating_mul(2).min(LAST_GAP);
    }

    /// When it may be tried out again.
    pub(crate) fn due(&self) -> Duration {
        self.due
    }
}
