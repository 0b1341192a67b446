//! Finds the shared beginnings of prompts that have much of the traffic, in bounded memory.

use std::collections::HashMap;
use std::time::Duration;

use trimtab_loadtable::{Hot, PrefixCount, limits};

/// Time constant with which counters forget, in seconds.
const TAU_S: f64 = 20.0;
/// How many counters are kept. A beginning with more than one in so many requests always has a
/// counter.
const COUNTERS: usize = 1_024;
/// Shares below this part of an endpoint's mean share of the traffic are not listed.
const LEAST_PART: f64 = 0.25;
/// Above this the weights are scaled down again.
const MAX_WEIGHT: f64 = 1e12;

/// Space-saving (Metwally, Agrawal, El Abbadi 2005) with exponential decay. A new key takes over
/// the least counter. So a count is never too low, and is too high by at most that counter.
///
/// Counters do not shrink with time. Later requests weigh more instead.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    /// By key: the weight counted, and the part of it that was taken over.
    counters: HashMap<u64, (f64, f64)>,
    total: f64,
    /// When a request weighed 1.
    origin: Duration,
}

impl Heat {
    /// Adds a report's shared beginnings.
    ///
    /// - `requests`: requests that the report adds to the total.
    /// - `most`: requests among which these beginnings were.
    pub(crate) fn add(
        &mut self,
        now: Duration,
        requests: u64,
        most: u64,
        prefixes: &[PrefixCount],
    ) {
        let weight = self.weight(now);
        self.total += requests as f64 * weight;
        for prefix in prefixes {
            // A proxy cannot have asked for one beginning more often than it decided.
            let count = u64::from(prefix.count).min(most) as f64 * weight;
            if count > 0.0 {
                self.count(prefix.key, count);
            }
        }
    }

    fn weight(&mut self, now: Duration) -> f64 {
        let weight = libm::exp(now.saturating_sub(self.origin).as_secs_f64() / TAU_S);
        if weight <= MAX_WEIGHT {
            return weight;
        }
        self.total /= weight;
        for (counted, taken_over) in self.counters.values_mut() {
            *counted /= weight;
            *taken_over /= weight;
        }
        self.origin = now;
        1.0
    }

    fn count(&mut self, key: u64, count: f64) {
        if let Some((counted, _)) = self.counters.get_mut(&key) {
            *counted += count;
            return;
        }
        let mut least = 0.0;
        if self.counters.len() >= COUNTERS {
            let by_count = |(key, counter): (&u64, &(f64, f64))| (*key, counter.0);
            let smallest = self.counters.iter().map(by_count);
            // Equal counts are ordered by key, because the order of a hash map is random.
            let smallest = smallest.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            if let Some((old, counted)) = smallest {
                self.counters.remove(&old);
                least = counted;
            }
        }
        self.counters.insert(key, (least + count, least));
    }

    /// Returns the beginnings with much of the traffic of a pool of `endpoints`, ascending by key.
    pub(crate) fn list(&self, endpoints: usize) -> Vec<Hot> {
        if self.total <= 0.0 {
            return Vec::new();
        }
        let least = LEAST_PART / (endpoints as f64).max(1.0);
        let mut hot: Vec<(f64, u64)> = self
            .counters
            .iter()
            // Only what was certainly the key's own counts: a new key that took over a large
            // counter is not hot.
            .map(|(key, (counted, taken_over))| ((counted - taken_over) / self.total, *key))
            .filter(|(share, _)| *share >= least)
            .collect();
        hot.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        hot.truncate(limits::HOT_PREFIXES);
        hot.sort_unstable_by_key(|(_, key)| *key);
        let ppm = |share: f64| libm::round(share * f64::from(limits::WHOLE_PPM)) as u32;
        hot.into_iter()
            .map(|(share, key)| Hot {
                key,
                share_ppm: ppm(share).clamp(1, limits::WHOLE_PPM),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn asked(key: u64, count: u32) -> PrefixCount {
        PrefixCount { key, count }
    }

    fn hot(key: u64, share: f64) -> Hot {
        let share_ppm = libm::round(share * 1e6) as u32;
        Hot { key, share_ppm }
    }

    #[test]
    fn shares_are_of_all_requests_and_small_ones_are_left_out() {
        let mut heat = Heat::default();
        let now = Duration::from_secs(1);
        heat.add(now, 200, 200, &[asked(9, 50), asked(4, 20), asked(7, 1)]);
        // A quarter of an endpoint's share is 0.78 % for 32 endpoints and 12.5 % for two.
        assert_eq!(heat.list(32), [hot(4, 0.1), hot(9, 0.25)]);
        assert_eq!(heat.list(2), [hot(9, 0.25)]);
        assert_eq!(Heat::default().list(32), []);
    }

    #[test]
    fn what_was_hot_is_forgotten_also_over_hours() {
        let mut heat = Heat::default();
        heat.add(Duration::ZERO, 100, 100, &[asked(1, 50)]);
        for second in (0..7_200).step_by(5) {
            heat.add(Duration::from_secs(second), 100, 100, &[asked(2, 50)]);
        }
        assert_eq!(heat.list(32), [hot(2, 0.5)]);
        assert!(heat.total.is_finite());
    }

    #[test]
    fn a_hot_one_is_found_among_many_that_come_once_and_these_are_not_hot() {
        let mut heat = Heat::default();
        for number in 0..20_000_u64 {
            let now = Duration::from_millis(number);
            heat.add(now, 2, 2, &[asked(1_000_000 + number, 1), asked(5, 1)]);
        }
        assert_eq!(heat.list(32), [hot(5, 0.5)]);
        assert!(heat.counters.len() <= COUNTERS);
    }

    #[test]
    fn a_report_can_not_claim_more_than_its_requests() {
        let mut heat = Heat::default();
        heat.add(Duration::ZERO, 1_000, 1_000, &[]);
        heat.add(Duration::ZERO, 1, 1, &[asked(3, u32::MAX)]);
        assert_eq!(heat.list(32), []);
    }
}
