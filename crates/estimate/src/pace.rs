//! When the next table is due.

use std::time::Duration;

use trimtab_loadtable::Table;

use crate::change;

/// Reports of one burst become one table: news waits this long after the table before.
const NEWS_GAP: Duration = Duration::from_millis(10);
/// Bytes of tables per second that all proxies together are sent; beyond it tables come less often.
const BYTES_PER_S: f64 = 32.0 * 1024.0 * 1024.0;
/// Answers per second to all proxies together; about half of what one core serves.
const ANSWERS_PER_S: f64 = 10_000.0;
/// However many proxies there are, a table is this fresh.
const MAX_GAP: Duration = Duration::from_secs(2);
/// A table that tells nothing new is sent this long after the one before, as a sign of life: well within the age up to which deciders
/// believe a table (2 s). Each costs a proxy about half a millisecond of CPU.
const QUIET_GAP: Duration = Duration::from_millis(500);

/// Tables come at an interval, sooner with large news, and later when there is nothing to tell; never so often that endpoints x proxies
/// becomes a load.
///
/// Times are on one clock of the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    interval: Duration,
    published_at: Duration,
    /// When it was last seen whether there is something to tell.
    looked_at: Duration,
    gap: Duration,
}

impl Pace {
    /// A table is due at once, and then every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            published_at: Duration::ZERO,
            looked_at: Duration::ZERO,
            gap: Duration::ZERO,
        }
    }

    /// A table of `bytes` went to `proxies` proxies.
    pub fn on_published(&mut self, now: Duration, bytes: usize, proxies: usize) {
        let by_bytes = bytes as f64 * proxies as f64 / BYTES_PER_S;
        let by_answers = proxies as f64 / ANSWERS_PER_S;
        let gap_s = by_bytes.max(by_answers).min(MAX_GAP.as_secs_f64());
        self.published_at = now;
        self.looked_at = now;
        self.gap = NEWS_GAP.max(Duration::from_secs_f64(gap_s));
    }

    /// Whether `table`, made now, is not worth sending after `last`, which was.
    #[must_use]
    pub fn keeps_back(&self, now: Duration, last: &Table, table: &Table) -> bool {
        let age = now.saturating_sub(self.published_at);
        self.gap > Duration::ZERO && age < QUIET_GAP && !change::tells(last, table, age)
    }

    /// A table was kept back.
    pub fn on_kept_back(&mut self, now: Duration) {
        self.looked_at = now;
    }

    /// When the next table is due without large news.
    #[must_use]
    pub fn due(&self) -> Duration {
        match self.gap {
            Duration::ZERO => Duration::ZERO,
            gap => self.looked_at + gap.max(self.interval),
        }
    }

    /// When it is due with large news: at once, or when the gap to the table before is over.
    #[must_use]
    pub fn due_with_news(&self) -> Duration {
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
        assert_eq!((pace.due(), pace.due_with_news()), Default::default());
        pace.on_published(NOW, bytes, proxies);
        (pace.due() - NOW, pace.due_with_news() - NOW)
    }

    #[test]
    fn few_proxies_get_tables_at_the_interval_and_news_soon() {
        assert_eq!(gaps(1_000, 10), (INTERVAL, NEWS_GAP));
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
            assert!(pace.due_with_news() <= now, "news does not wait");
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
