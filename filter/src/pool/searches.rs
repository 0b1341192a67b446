//! Bounds the searches for names that nobody knows.

use trimtab_pick::Millis;

/// Searches that may begin per second: a name that a client made up costs a request per server.
const SEARCHES_PER_S: u32 = 20;

/// Counts the searches for names that nobody knows.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    since: Millis,
    count: u32,
}

impl Searches {
    /// Whether another search may begin. Counts it.
    pub(super) fn begin(&mut self, now: Millis) -> bool {
        if now.since(self.since) >= 1_000 {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= SEARCHES_PER_S
    }
}
