//! Decides when the next table is due.

use std::time::Duration;

use trimtab_loadtable::Table;

use crate::change;

/// Least time after the last table, also for an urgent report. So one burst of reports becomes one
/// table.
const URGENT_GAP: Duration = Duration::from_millis(10);
/// Bytes of tables per second to all proxies together. Beyond that tables come less often.
const BYTES_PER_S: f64 = 32.0 * 1024.0 * 1024.0;
/// Answers per second to all proxies together: about half of what one core serves.
const ANSWERS_PER_S: f64 = 10_000.0;
/// The longest gap between tables, however many proxies there are.
const MAX_GAP: Duration = Duration::from_secs(2);
/// A table without changes is sent this long after the last one, as a sign of life. This is well
/// within the age up to which pickers use a table (2 s). Each table costs a proxy about half a
/// millisecond of CPU.
const QUIET_GAP: Duration = Duration::from_millis(500);

/// The times of tables. They come at an interval, sooner after an urgent report, and later when
/// nothing has changed. Bytes and answers over all proxies bound how often.
///
/// Times are on one clock of the caller.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    interval: Duration,
    published_at: Duration,
    /// When a table was last made, sent or held back.
    looked_at: Duration,
    gap: Duration,
}

impl Pace {
    /// Makes a pace: a table is due at once, and then every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            published_at: Duration::ZERO,
            looked_at: Duration::ZERO,
            gap: Duration::ZERO,
        }
    }

    /// Notes that a table of `bytes` goes to `proxies` proxies.
    pub fn on_published(&mut self, now: Duration, bytes: usize, proxies: usize) {
        let by_bytes = bytes as f64 * proxies as f64 / BYTES_PER_S;
        let by_answers = proxies as f64 / ANSWERS_PER_S;
        let gap_s = by_bytes.max(by_answers).min(MAX_GAP.as_secs_f64());
        self.published_at = now;
        self.looked_at = now;
        self.gap = URGENT_GAP.max(Duration::from_secs_f64(gap_s));
    }

    /// Whether `table`, made at `now`, is not worth sending after `last`, the table sent before it.
    #[must_use]
    pub fn keeps_back(&self, now: Duration, last: &Table, table: &Table) -> bool {
        let age = now.saturating_sub(self.published_at);
        self.gap > Duration::ZERO && age < QUIET_GAP && !change::tells(last, table, age)
    }

    /// Notes that a table was held back.
    pub fn on_kept_back(&mut self, now: Duration) {
        self.looked_at = now;
    }

    /// Returns when the next table is due without an urgent report.
    #[must_use]
    pub fn due(&self) -> Duration {
        match self.gap {
            Duration::ZERO => Duration::ZERO,
            gap => self.looked_at + gap.max(self.interval),
        }
    }

    /// Returns when the next table is due after an urgent report: at once, or when the gap after
    /// the last table is over.
    #[must_use]
    pub fn due_when_urgent(&self) -> Duration {
        self.due().min(self.published_at + self.gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const INTERVAL: Duration = Duration::from_millis(50);
    const NOW: Duration = Duration::from_secs(7);

    fn gaps(bytes: usize, proxies: usize) -> (Duration, Duration) {
        let mut pace = Pace::new(INTERVAL);
        assert_eq!((pace.due(), pace.due_when_urgent()), Default::default());
        pace.on_published(NOW, bytes, proxies);
        (pace.due() - NOW, pace.due_when_urgent() - NOW)
    }

    #[test]
    fn few_proxies_get_tables_at_the_interval_and_soon_after_an_urgent_report() {
        assert_eq!(gaps(1_000, 10), (INTERVAL, URGENT_GAP));
    }

    #[test]
    fn tables_that_tell_nothing_are_kept_back_for_half_a_second() {
        let mut pool = crate::Pool::new(crate::PoolConfig::new("chat", 1, [0; 16]));
        let mut pace = Pace::new(INTERVAL);
        let last = pool.table(NOW);
        assert!(!pace.keeps_back(NOW, &last, &last), "the first one");
        pace.on_published(NOW, 1_000, 10);
        let mut kept_back = 0;
        while pace.keeps_back(pace.due(), &last, &pool.table(pace.due())) {
            let now = pace.due();
            pace.on_kept_back(now);
            kept_back += 1;
            assert_eq!(pace.due(), now + INTERVAL);
            assert!(
                pace.due_when_urgent() <= now,
                "an urgent report does not wait"
            );
        }
        assert_eq!((kept_back, pace.due()), (9, NOW + QUIET_GAP));
    }

    #[test]
    fn many_proxies_get_fewer_tables_so_that_traffic_is_bounded() {
        // 100 kB x 1,000 proxies at 32 MiB/s.
        let slow = Duration::from_secs_f64(1e8 / BYTES_PER_S).min(MAX_GAP);
        assert_eq!(gaps(100_000, 1_000), (slow, slow));
        assert_eq!(gaps(10, 1_000).0, Duration::from_millis(100));
        assert_eq!(gaps(usize::MAX, usize::MAX), (MAX_GAP, MAX_GAP));
    }
}
