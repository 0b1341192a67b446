//! When the next table is due.

use std::time::Duration;

/// Reports of one burst become one table: news waits this long after the table before.
const NEWS_GAP: Duration = Duration::from_millis(10);
/// Bytes of tables per second that all proxies together are sent; beyond it tables come less often.
const BYTES_PER_S: f64 = 32.0 * 1024.0 * 1024.0;
/// Answers per second to all proxies together; about half of what one core serves.
const ANSWERS_PER_S: f64 = 10_000.0;
/// However many proxies there are, a table is this fresh.
const MAX_GAP: Duration = Duration::from_secs(2);

/// Tables come at an interval, and sooner with large news, but never so often that endpoints x proxies becomes a load.
///
/// Times are on one clock of the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    interval: Duration,
    published_at: Duration,
    gap: Duration,
}

impl Pace {
    /// A table is due at once, and then every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            published_at: Duration::ZERO,
            gap: Duration::ZERO,
        }
    }

    /// A table of `bytes` went to `proxies` proxies.
    pub fn on_published(&mut self, now: Duration, bytes: usize, proxies: usize) {
        let by_bytes = bytes as f64 * proxies as f64 / BYTES_PER_S;
        let by_answers = proxies as f64 / ANSWERS_PER_S;
        let gap_s = by_bytes.max(by_answers).min(MAX_GAP.as_secs_f64());
        self.published_at = now;
        self.gap = NEWS_GAP.max(Duration::from_secs_f64(gap_s));
    }

    /// When the next table is due without large news.
    #[must_use]
    pub fn due(&self) -> Duration {
        match self.gap {
            Duration::ZERO => Duration::ZERO,
            gap => self.published_at + gap.max(self.interval),
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
    fn many_proxies_get_fewer_tables_so_that_traffic_is_bounded() {
        // 100 kB x 1,000 proxies at 32 MiB/s.
        let slow = Duration::from_secs_f64(1e8 / BYTES_PER_S).min(MAX_GAP);
        assert_eq!(gaps(100_000, 1_000), (slow, slow));
        assert_eq!(gaps(10, 1_000).0, Duration::from_millis(100));
        assert_eq!(gaps(usize::MAX, usize::MAX), (MAX_GAP, MAX_GAP));
    }
}
