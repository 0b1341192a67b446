//! The water level: what is assumed to have been sent since the table was made.
//!
//! Load interpretation (Dahlin, ICDCS 1999): pour the requests that have arrived since the table
//! into the endpoints with the shortest waits. By now all waits below the surface have been filled
//! up to it.
//!
//! A wait here is a row's load: its wait plus the cost of its running requests.

use alloc::vec::Vec;

use crate::Rng;
use crate::table::row::Row;

/// The waits of the endpoints that may be chosen, ascending. The sums beside them make a level and
/// a draw O(log n). `s` is what a mean request adds to an endpoint's wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaterLevelIndex {
    /// Positions in the list of endpoints.
    order: Vec<u32>,
    /// Sum of `1 / s` up to and including each position: requests that raise all these waits by one
    /// second.
    rates: Vec<f64>,
    /// Sum of `wait / s` up to and including each position.
    filled: Vec<f64>,
    /// Requests that bring all endpoints before each position up to its wait.
    poured: Vec<f64>,
}

/// A mean request counts as at least this much work, so that rates are finite.
const MIN_WORK_S: f64 = 1e-6;

impl WaterLevelIndex {
    /// Indexes the `choosable` of `rows`, by position. O(n log n).
    ///
    /// - `work_s`: what a mean request adds to the wait of each, in seconds.
    pub(crate) fn new(rows: &[Row], choosable: &[u32], work_s: impl Fn(&Row) -> f64) -> Self {
        let row = |index: u32| rows.get(usize::try_from(index).ok()?);
        // Loads are not negative, so the bits of their `f32` values sort in the order of the
        // values. With the index in the lower half they sort twice as fast as tuples.
        let key = |index: &u32| {
            let wait_s = row(*index)?.load_s() as f32;
            Some(u64::from(wait_s.to_bits()) << 32 | u64::from(*index))
        };
        let mut sorted: Vec<u64> = choosable.iter().filter_map(key).collect();
        sorted.sort_unstable();
        let room = || Vec::with_capacity(sorted.len());
        let mut level = Self {
            order: Vec::with_capacity(sorted.len()),
            rates: room(),
            filled: room(),
            poured: room(),
        };
        let (mut rates, mut filled) = (0.0, 0.0);
        for index in sorted.into_iter().map(|key| key as u32) {
            let Some(row) = row(index) else { continue };
            let (wait_s, rate) = (row.load_s(), 1.0 / work_s(row).max(MIN_WORK_S));
            level.poured.push(wait_s * rates - filled);
            rates += rate;
            filled += wait_s * rate;
            level.order.push(index);
            level.rates.push(rates);
            level.filled.push(filled);
        }
        level
    }

    /// Returns the surface after `requests` mean requests were poured in, in seconds of wait.
    /// Without requests it is the shortest wait. O(log n).
    pub(crate) fn surface_s(&self, requests: f64) -> f64 {
        let last = self.under(requests).checked_sub(1);
        match last.and_then(|last| self.rates.get(last).zip(self.filled.get(last))) {
            Some((rates, filled)) => (requests + filled) / rates,
            None => 0.0,
        }
    }

    /// Returns how many endpoints lie under that surface: those whose wait is reached before the
    /// requests are used up. At least one, if there is any. O(log n).
    pub(crate) fn under(&self, requests: f64) -> usize {
        let reached = self.poured.partition_point(|poured| *poured < requests);
        reached.max(1).min(self.order.len())
    }

    /// Mean requests per second of work, on average over the endpoints.
    pub(crate) fn requests_per_s(&self) -> f64 {
        let rates = self.rates.last().copied().unwrap_or(0.0);
        rates / (self.order.len() as f64).max(1.0)
    }

    /// Returns the endpoint with the `nth` shortest wait, from 0.
    pub(crate) fn nth(&self, nth: usize) -> Option<u32> {
        self.order.get(nth).copied()
    }

    /// Draws one of the `under` endpoints with the shortest waits, in proportion to `1 / s`. O(log
    /// n), and O(1) where endpoints are equal.
    pub(crate) fn draw(&self, under: usize, rng: &mut Rng) -> Option<u32> {
        let rates = self.rates.get(..under)?;
        let total = *rates.last()?;
        let unit = rng.unit();
        let at = first_above(rates, unit * total, (unit * under as f64) as usize);
        self.order.get(at.min(under - 1)).copied()
    }
}

/// Returns the first position of the ascending `sums` that is above `point`. The search begins at
/// `guess` and goes on in steps that double.
fn first_above(sums: &[f64], point: f64, guess: usize) -> usize {
    let is_above = |at: usize| sums.get(at).is_none_or(|sum| *sum > point);
    let (mut low, mut high) = (guess, guess);
    let mut step = 1;
    // No sum before `low` is above `point`. The sum at `high` is.
    while low > 0 && is_above(low - 1) {
        high = low - 1;
        low = low.saturating_sub(step);
        step *= 2;
    }
    while !is_above(high) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    let between = sums.get(low..high.min(sums.len())).unwrap_or_default();
    low + between.partition_point(|sum| *sum <= point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::row::Room;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rows(waits_and_work: &[(f64, f64)]) -> Vec<Row> {
        let row = |(wait_s, work_s): &(f64, f64)| Row {
            wait_s: *wait_s,
            wait_known: true,
            crowd_s: 0.0,
            found_share: 1.0,
            room: Room::ENDLESS,
            is_member: true,
            prefill_s_per_token: 0.0,
            decode_s: *work_s,
            speed: 1.0,
        };
        waits_and_work.iter().map(row).collect()
    }

    fn level(waits_and_work: &[(f64, f64)]) -> WaterLevelIndex {
        let all: Vec<u32> = (0..).take(waits_and_work.len()).collect();
        WaterLevelIndex::new(&rows(waits_and_work), &all, |row| row.decode_s)
    }

    /// Raises the lowest wait by small steps until the requests are used up.
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
                let level = level(&pool);
                let (found, under) = (level.surface_s(requests), level.under(requests));
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
        let two = level(&[(0.5, 0.1), (0.2, 0.1)]);
        assert_eq!((two.surface_s(0.0), two.under(0.0)), (0.2, 1));
        let none = level(&[]);
        assert_eq!((none.surface_s(3.0), none.under(3.0)), (0.0, 0));
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

    #[test]
    fn a_search_from_any_guess_ends_where_a_search_of_all_does() {
        let mut rng = Rng::new(8);
        for size in [0, 1, 2, 9, 40] {
            let mut sums: Vec<f64> = (0..size).map(|_| libm::floor(rng.unit() * 20.0)).collect();
            sums.sort_unstable_by(f64::total_cmp);
            for point in -1..22 {
                let expected = sums.partition_point(|sum| *sum <= f64::from(point));
                for guess in 0..=size + 2 {
                    let found = first_above(&sums, f64::from(point), guess);
                    assert_eq!(found.min(size), expected, "{sums:?}, {point} from {guess}");
                }
            }
        }
    }
}
