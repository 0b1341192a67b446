//! Fits a robust straight line to noisy pairs, in bounded memory.

use std::time::Duration;

/// How many bins over x there are, two per doubling: 2^-2 to 2^22 covers both sequences and tokens.
const BINS: usize = 48;
/// How many pairs are kept per bin. The median survives 7 outliers.
const PER_BIN: usize = 15;
/// How many pairs a bin needs to count.
const MIN_PER_BIN: usize = 5;
/// How many bins a line needs.
const MIN_BINS: usize = 3;
/// Least ratio of a line's largest x to its smallest. If they are closer, noise at the ends makes
/// the slope.
const MIN_SPREAD: f64 = 4.0;
/// A bin without a newer pair than this does not count: its pairs say nothing about the current
/// model.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Medians per bin, then the weighted median of the slopes between bins (Theil-Sen).
///
/// Rejected: least squares (docs/algorithm.md#speed). One page with an absurd sum bends it for
/// minutes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fit {
    bins: Vec<Bin>,
}

#[derive(Debug, Clone, Default)]
struct Bin {
    pairs: Vec<(f64, f64)>,
    next: usize,
    last: Duration,
}

impl Fit {
    /// Adds a pair. Leaves it out if `x` is below 0.25 or a value is not finite.
    pub(crate) fn add(&mut self, now: Duration, x: f64, y: f64) {
        if !(x >= 0.25 && x.is_finite() && y.is_finite()) {
            return;
        }
        if self.bins.is_empty() {
            self.bins.resize_with(BINS, Bin::default);
        }
        if let Some(bin) = index(x).and_then(|index| self.bins.get_mut(index)) {
            bin.add(now, x, y);
        }
    }

    /// Returns the slope. `None`: there are too few bins, or they are too close.
    pub(crate) fn slope(&self, now: Duration) -> Option<f64> {
        let points: Vec<(f64, f64)> = self.bins.iter().filter_map(|bin| bin.median(now)).collect();
        let ends = points.first().zip(points.last());
        let spread = ends.is_some_and(|((least, _), (most, _))| *most >= MIN_SPREAD * least);
        if points.len() < MIN_BINS || !spread {
            return None;
        }
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (i, (x0, y0)) in points.iter().enumerate() {
            for (x1, y1) in points.iter().skip(i + 1) {
                let run = x1 - x0;
                if run > 0.0 {
                    slopes.push(((y1 - y0) / run, run));
                }
            }
        }
        weighted_median(&mut slopes)
    }

    /// Returns y at this x: the median of its bin. `None`: the bin has too few pairs.
    pub(crate) fn expected(&self, now: Duration, x: f64) -> Option<f64> {
        let (_, y) = self.bins.get(index(x)?)?.median(now)?;
        (y > 0.0).then_some(y)
    }

    /// Returns the largest x per y over the bins, from pairs with at least `min_x`. A bin's value
    /// is the upper quartile of its pairs. It leaves out pairs that something else delayed, and
    /// survives a few that are too good.
    pub(crate) fn best_ratio(&self, now: Duration, min_x: f64) -> Option<f64> {
        let ratios = self.bins.iter().filter_map(|bin| bin.ratio(now, min_x));
        ratios.reduce(f64::max)
    }
}

/// Returns the bin of `x`. `None`: too small, or not a number.
fn index(x: f64) -> Option<usize> {
    // `as` saturates, and `min` keeps the index within the list.
    (x >= 0.25).then(|| (((libm::log2(x) + 2.0) * 2.0) as usize).min(BINS - 1))
}

impl Fit {
    /// Returns the largest x per y of all pairs with at least `min_x`, and the number of these
    /// pairs. `None`: there is no such pair. For use while too little is known for anything better.
    pub(crate) fn first_ratio(&self, now: Duration, min_x: f64) -> Option<(f64, usize)> {
        let fresh = |bin: &&Bin| now.saturating_sub(bin.last) <= MAX_AGE;
        let pairs = self.bins.iter().filter(fresh).flat_map(|bin| &bin.pairs);
        let usable = pairs.filter(|pair| pair.0 >= min_x && pair.1 > 0.0);
        let ratios = usable.map(|(x, y)| (x / y, 1));
        ratios.reduce(|a, b| (a.0.max(b.0), a.1 + b.1))
    }
}

impl Bin {
    fn add(&mut self, now: Duration, x: f64, y: f64) {
        if now.saturating_sub(self.last) > MAX_AGE {
            self.pairs.clear();
            self.next = 0;
        }
        self.last = now;
        match self.pairs.get_mut(self.next) {
            Some(pair) => *pair = (x, y),
            None => self.pairs.push((x, y)),
        }
        self.next = (self.next + 1) % PER_BIN;
    }

    fn counts(&self, now: Duration) -> bool {
        self.pairs.len() >= MIN_PER_BIN && now.saturating_sub(self.last) <= MAX_AGE
    }

    fn ratio(&self, now: Duration, min_x: f64) -> Option<f64> {
        if !self.counts(now) {
            return None;
        }
        let usable = |pair: &&(f64, f64)| pair.0 >= min_x && pair.1 > 0.0;
        let ratios = self.pairs.iter().filter(usable).map(|(x, y)| x / y);
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let quartile = (ratios.len() * 3).checked_div(4)?;
        ratios
            .get(quartile)
            .copied()
            .filter(|_| ratios.len() >= MIN_PER_BIN)
    }

    fn median(&self, now: Duration) -> Option<(f64, f64)> {
        if !self.counts(now) {
            return None;
        }
        let mut xs: Vec<f64> = self.pairs.iter().map(|pair| pair.0).collect();
        let mut ys: Vec<f64> = self.pairs.iter().map(|pair| pair.1).collect();
        median(&mut xs).zip(median(&mut ys))
    }
}

/// Returns the middle value, the lower of two. `None`: there is no value.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    let (_, value, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*value)
}

/// Returns the value at which half of the weight is reached.
pub(crate) fn weighted_median(values: &mut [(f64, f64)]) -> Option<f64> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    values.iter().find_map(|(value, weight)| {
        below += weight;
        (below >= half).then_some(*value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Duration = Duration::from_secs(1);

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn a_third_of_wild_points_does_not_bend_the_line(
            slope in 1e-6f64..10.0, base in 0.0f64..10.0, wild in prop::collection::vec(-1e12f64..1e12, 5 * 8),
        ) {
            let mut fit = Fit::default();
            let mut wild = wild.into_iter();
            for x in (0..8).map(|k| f64::from(1 << k)) {
                for k in 0..15 {
                    let line = base + slope * x;
                    fit.add(NOW, x, if k % 3 == 0 { wild.next().unwrap() } else { line });
                }
            }
            // A third of the points are outliers on both sides, so the median is one of the true
            // points.
            let fitted = fit.slope(NOW).unwrap();
            prop_assert!((fitted - slope).abs() <= 1e-6 * slope + 1e-9, "{fitted} for {slope}");
        }

        #[test]
        fn any_numbers_are_taken(pairs in prop::collection::vec((any::<f64>(), any::<f64>()), 0..200)) {
            let mut fit = Fit::default();
            for (x, y) in pairs {
                fit.add(NOW, x, y);
            }
            prop_assert!(fit.slope(NOW).is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn one_load_level_makes_no_line_and_old_points_are_dropped() {
        let mut fit = Fit::default();
        for _ in 0..100 {
            fit.add(NOW, 8.0, 0.01);
        }
        assert_eq!(fit.slope(NOW), None);
        for x in [1.0, 32.0, 100.0] {
            for _ in 0..10 {
                fit.add(NOW, x, x);
            }
        }
        assert!(fit.slope(NOW).is_some());
        assert_eq!(fit.slope(NOW + MAX_AGE + NOW), None);
    }
}
