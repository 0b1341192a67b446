//! The last report of each proxy that was taken in, so that a table can name it.

use std::collections::HashMap;
use std::time::Duration;

/// The newest sequence and its time, by proxy. Silent proxies leave at the next table, or when the
/// limit is reached.
#[derive(Debug)]
pub(super) struct Heard {
    newest: HashMap<u64, (u64, Duration)>,
    ttl: Duration,
    max_proxies: usize,
}

impl Heard {
    /// `ttl`, `max_proxies`: as the pool's, which also forgets silent proxies.
    pub(super) fn new(ttl: Duration, max_proxies: usize) -> Self {
        Self {
            newest: HashMap::new(),
            ttl,
            max_proxies,
        }
    }

    /// Notes that the pool has taken in this report.
    pub(super) fn on_report(&mut self, now: Duration, proxy: u64, sequence: u64) {
        if self.newest.len() >= self.max_proxies {
            self.expire(now);
        }
        self.newest.insert(proxy, (sequence, now));
    }

    fn expire(&mut self, now: Duration) {
        let ttl = self.ttl;
        self.newest
            .retain(|_, (_, at)| now.saturating_sub(*at) <= ttl);
    }

    /// By proxy: returns the sequence of the newest report taken in.
    pub(super) fn included(&mut self, now: Duration) -> HashMap<u64, u64> {
        self.expire(now);
        let newest = self.newest.iter();
        newest
            .map(|(proxy, (sequence, _))| (*proxy, *sequence))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_report_of_each_proxy_is_known_until_it_falls_silent() {
        let at = Duration::from_secs;
        let mut heard = Heard::new(at(15), 100);
        heard.on_report(at(0), 7, 1);
        heard.on_report(at(10), 7, 2);
        heard.on_report(at(12), 8, 40);
        assert_eq!(heard.included(at(12)), HashMap::from([(7, 2), (8, 40)]));
        assert_eq!(heard.included(at(26)), HashMap::from([(8, 40)]));
    }

    #[test]
    fn proxies_that_come_and_go_without_a_table_take_no_more_room_than_those_that_stay() {
        let mut heard = Heard::new(Duration::from_secs(15), 100);
        for second in 0..10_000 {
            heard.on_report(Duration::from_secs(second), second, 1);
        }
        assert!(heard.newest.len() <= 100, "{}", heard.newest.len());
    }
}
