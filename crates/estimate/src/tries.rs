//! When an endpoint is tried out with a request.

use std::time::Duration;

/// The first and the longest gap between two tries. The gap doubles each time.
const FIRST_GAP: Duration = Duration::from_secs(1);
const LAST_GAP: Duration = Duration::from_secs(60);

/// The schedule by which an endpoint is tried out.
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
    /// Notes that a request was sent to try it out. The next try waits longer.
    pub(crate) fn on_sent(&mut self, now: Duration) {
        self.due = now.saturating_add(self.gap);
        self.gap = self.gap.saturating_mul(2).min(LAST_GAP);
    }

    /// Returns when it may be tried out again.
    pub(crate) fn due(&self) -> Duration {
        self.due
    }
}
