//! The water level: what is assumed to have been sent since the table was made.
//!
//! Load interpretation (Dahlin, ICDCS 1999): pour the requests that have arrived since into the endpoints with the shortest
//! waits. Everything under the surface has been filled up to it by now.

use alloc::vec::Vec;

use crate::Rng;
use crate::row::Row;

/// The waits of the endpoints that may be chosen, ascending, with the sums that make a level and a draw O(log n).
#[derive(Debug, Clone, Default)]
pub(crate) struct Level {
    /// Positions in the list of endpoints.
    order: Vec<u32>,
    waits_s: Vec<f64>,
    /// Sum of `1 / s` up to and including each position: requests that raise all of them by one second.
    rates: Vec<f64>,
    /// Sum of `wait / s` likewise.
    filled: Vec<f64>,
}

/// Work of no request is less than this, so that rates are finite.
const MIN_WORK_S: f64 = 1e-6;

impl Level {
    /// `rows` with their positions; `work_s`: what an average request adds to each. O(n log n).
    pub(crate) fn new(
        rows: impl Iterator<Item = (u32, Row)>,
        work_s: impl Fn(&Row) -> f64,
    ) -> Self {
        let mut sorted: Vec<(f64, u32, f64)> = rows
            .map(|(index, row)| (row.wait_s, index, 1.0 / work_s(&row).max(MIN_WORK_S)))
            .collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut level = Self::default();
        let (mut rates, mut filled) = (0.0, 0.0);
        for (wait_s, index, rate) in sorted {
            rates += rate;
            filled += wait_s * rate;
            level.order.push(index);
            level.waits_s.push(wait_s);
            level.rates.push(rates);
            level.filled.push(filled);
        }
        level
    }

    /// The surface, in seconds of wait, after `requests` average requests were poured in; how many endpoints lie under it. With
    /// no request it is the shortest wait. O(log n).
    pub(crate) fn surface(&self, requests: f64) -> (f64, usize) {
        // Endpoints below: all whose wait is reached before the requests are used up.
        let (mut low, mut high) = (0, self.order.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.poured_until(middle) < requests {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let under = low.max(1).min(self.order.len());
        let Some((rates, filled)) = under
            .checked_sub(1)
            .and_then(|last| self.rates.get(last).zip(self.filled.get(last)))
        else {
            return (0.0, 0);
        };
        ((requests + filled) / rates, under)
    }

    /// Average requests per second of work of an average endpoint.
    pub(crate) fn requests_per_s(&self) -> f64 {
        let rates = self.rates.last().copied().unwrap_or(0.0);
        rates / (self.order.len() as f64).max(1.0)
    }

    /// Requests that bring all endpoints before `position` up to its wait.
    fn poured_until(&self, position: usize) -> f64 {
        let wait_s = self.waits_s.get(position).copied().unwrap_or(0.0);
        let before = position.checked_sub(1);
        let at = |sums: &[f64]| before.and_then(|at| sums.get(at)).copied().unwrap_or(0.0);
        wait_s * at(&self.rates) - at(&self.filled)
    }

    /// The endpoint with the `nth` shortest wait, from 0.
    pub(crate) fn nth(&self, nth: usize) -> Option<u32> {
        self.order.get(nth).copied()
    }

    /// One of the `under` endpoints with the shortest waits, in proportion to `1 / s`. O(log n).
    pub(crate) fn draw(&self, under: usize, rng: &mut Rng) -> Option<u32> {
        let total = *self.rates.get(under.checked_sub(1)?)?;
        let point = rng.unit() * total;
        let at = self.rates.partition_point(|sum| *sum <= point);
        self.order.get(at.min(under - 1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rows(waits_and_work: &[(f64, f64)]) -> Vec<(u32, Row)> {
        let row = |(wait_s, work_s): &(f64, f64)| Row {
            wait_s: *wait_s,
            wait_known: true,
            prefill_s_per_token: 0.0,
            decode_s: *work_s,
            speed: 1.0,
        };
        (0..).zip(waits_and_work.iter().map(row)).collect()
    }

    fn level(waits_and_work: &[(f64, f64)]) -> Level {
        Level::new(rows(waits_and_work).into_iter(), |row| row.decode_s)
    }

    /// Raises the lowest by small steps until the requests are used up.
    fn poured(waits_and_work: &[(f64, f64)], requests: f64) -> f64 {
        let mut waits: Vec<(f64, f64)> = waits_and_work.to_vec();
        let step = requests / 100_000.0;
        for _ in 0..100_000 {
            let lowest = waits
                .iter_mut()
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .expect("some");
            lowest.0 += step * lowest.1;
        }
        waits
            .iter()
            .map(|wait| wait.0)
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_surface_is_where_pouring_drop_by_drop_ends() {
        let mut rng = Rng::new(5);
        for size in [1, 2, 7, 40] {
            let pool: Vec<(f64, f64)> = (0..size)
                .map(|_| (rng.unit(), 0.05 + 0.2 * rng.unit()))
                .collect();
            for requests in [0.5, 3.0, 50.0] {
                let (found, under) = level(&pool).surface(requests);
                let expected = poured(&pool, requests);
                assert!(
                    (found - expected).abs() < 0.01,
                    "{size}: {found} and not {expected}"
                );
                let below = pool.iter().filter(|row| row.0 < found).count();
                assert!(
                    under == below || found == pool[0].0,
                    "{under} and not {below}"
                );
            }
        }
    }

    #[test]
    fn without_requests_the_surface_touches_the_shortest_wait() {
        assert_eq!(level(&[(0.5, 0.1), (0.2, 0.1)]).surface(0.0), (0.2, 1));
        assert_eq!(level(&[]).surface(3.0), (0.0, 0));
        assert_eq!(level(&[]).draw(0, &mut Rng::new(1)), None);
    }

    #[test]
    fn draws_are_in_proportion_to_the_rate_among_those_under_the_surface() {
        let level = level(&[(0.1, 0.1), (0.9, 0.1), (0.2, 0.3)]);
        let mut rng = Rng::new(2);
        let mut counts = [0_u32; 3];
        for _ in 0..40_000 {
            counts[level.draw(2, &mut rng).expect("some") as usize] += 1;
        }
        assert_eq!(counts[1], 0);
        let share = f64::from(counts[0]) / 40_000.0;
        assert!((share - 0.75).abs() < 0.015, "{share}");
    }
}
