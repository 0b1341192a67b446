//! The speed of one endpoint relative to its class. A card may be throttled or shared, or hardware
//! may be unlabelled.
//!
//! A free speed for each endpoint would be noise: a static error of 30 % between equal endpoints
//! costs more than it gives (docs/algorithm.md#own-speed). So empirical Bayes (Efron and Morris
//! 1973) draws the logarithms of the observed ratios to the class. It draws the more, the less
//! endpoints differ beyond chance. Equal endpoints stay equal. One of four endpoints that is 2.5
//! times slower is recognised within about ten observations.

use std::time::Duration;

/// Time constant with which observations are forgotten, in seconds: throttling comes and goes.
const TAU_S: f64 = 60.0;
/// A ratio beyond this, either way, is an error.
const MOST: f64 = 30.0;
/// An endpoint's mean counts from this many observations on.
const LEAST_WEIGHT: f64 = 2.0;
/// Assumed deviation of one observation, from single requests, until enough are known.
const FIRST_DEVIATION: f64 = 0.4;
/// An endpoint whose ratio is within this of 1 counts as equal to its class. Endpoints with hot
/// prefixes constantly look slower or faster than others, and that is not chance. With 0.07 the p99
/// of 500 shared beginnings is 0.40 instead of 0.22 s.
const EQUAL: f64 = 0.2;

/// Decayed observations of the logarithm of one speed over the class's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    at: Duration,
    weight: f64,
    sum: f64,
    squares: f64,
}

/// Observations of one endpoint's speeds, and the ratios made of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnSpeed {
    pub(crate) prefill: Seen,
    pub(crate) decode: Seen,
    /// Ratios to the class's speeds. Absent: as the class.
    pub(crate) prefill_ratio: Option<f64>,
    pub(crate) decode_ratio: Option<f64>,
}

impl Seen {
    /// Adds one observation: `ratio` times the class's speed, which counts as `weight` requests.
    pub(crate) fn add(&mut self, now: Duration, ratio: f64, weight: f64) {
        if !(ratio > 0.0 && ratio.is_finite()) {
            return;
        }
        let by = libm::exp(-now.saturating_sub(self.at).as_secs_f64() / TAU_S);
        self.at = self.at.max(now);
        let value = libm::log(ratio.clamp(1.0 / MOST, MOST));
        self.weight = self.weight * by + weight;
        self.sum = self.sum * by + weight * value;
        self.squares = self.squares * by + weight * value * value;
    }

    fn mean(&self) -> Option<f64> {
        (self.weight >= LEAST_WEIGHT).then(|| self.sum / self.weight)
    }

    /// Returns the weighted squared deviations from the own mean.
    fn spread(&self) -> f64 {
        (self.squares - self.sum * self.sum / self.weight.max(1e-9)).max(0.0)
    }
}

/// Updates the ratios of the endpoints of one class. O(endpoints).
pub(crate) fn settle(all: &mut [&mut OwnSpeed]) {
    let prefill = Shrinkage::of(all, |own| &own.prefill);
    let decode = Shrinkage::of(all, |own| &own.decode);
    for own in all {
        own.prefill_ratio = prefill.ratio(&own.prefill);
        own.decode_ratio = decode.ratio(&own.decode);
    }
}

/// How much endpoints of a class differ, and how much single observations of one endpoint do.
struct Shrinkage {
    between: f64,
    within: f64,
}

impl Shrinkage {
    fn of(all: &[&mut OwnSpeed], speed: fn(&OwnSpeed) -> &Seen) -> Self {
        let known = || {
            let seen = all.iter().map(|own| speed(own));
            seen.filter_map(|seen| Some((seen.mean()?, seen)))
        };
        let (mut count, mut sum, mut squares, mut spread, mut degrees) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (mean, seen) in known() {
            count += 1.0;
            sum += mean;
            squares += mean * mean;
            spread += seen.spread();
            degrees += (seen.weight - 1.0).max(0.0);
        }
        // The deviation assumed at first counts as two observations.
        let first = 2.0 * FIRST_DEVIATION * FIRST_DEVIATION;
        let within = (spread + first) / (degrees + 2.0);
        let by_chance =
            known().map(|(_, seen)| within / seen.weight).sum::<f64>() / f64::max(count, 1.0);
        let variance = match count > 1.0 {
            true => (squares - sum * sum / count) / (count - 1.0),
            false => 0.0,
        };
        Self {
            between: (variance - by_chance).max(0.0),
            within,
        }
    }

    fn ratio(&self, seen: &Seen) -> Option<f64> {
        let mean = seen.mean()?;
        let own = self.between / (self.between + self.within / seen.weight);
        let ratio = libm::exp(mean * own);
        // NaN, where nothing differs at all, means as the class.
        ((ratio - 1.0).abs() > EQUAL).then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::draws;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Endpoints with these true ratios. Each is seen `times` times, with noise of up to a third
    /// either way.
    fn seen(ratios: &[f64], times: u64, seed: u64) -> Vec<OwnSpeed> {
        let mut below = draws(seed);
        let mut all = vec![OwnSpeed::default(); ratios.len()];
        for time in 0..times {
            for (own, ratio) in all.iter_mut().zip(ratios) {
                let noise = 1.0 + (below(2_000) as f64 - 1_000.0) / 3_000.0;
                own.prefill
                    .add(Duration::from_millis(200 * time), ratio * noise, 1.0);
            }
        }
        settle(&mut all.iter_mut().collect::<Vec<_>>());
        all
    }

    #[test]
    fn equal_endpoints_stay_equal_whatever_noise_says() {
        let mut unequal = 0;
        for seed in 0..20 {
            let all = seen(&[1.0; 32], 20, seed);
            unequal += all.iter().filter(|own| own.prefill_ratio.is_some()).count();
        }
        assert!(unequal * 50 < 20 * 32, "{unequal} of 640");
    }

    #[test]
    fn one_that_is_slower_is_known_after_ten_observations() {
        for seed in 0..20 {
            let all = seen(&[1.0, 1.0, 1.0, 0.4], 10, seed);
            let ratio = all[3].prefill_ratio.unwrap();
            assert!((0.33..0.52).contains(&ratio), "{seed}: {ratio}");
            assert_eq!(all[3].decode_ratio, None);
        }
    }

    #[test]
    fn what_was_seen_is_forgotten_and_wild_values_are_no_observations() {
        let mut own = OwnSpeed::default();
        for wild in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            own.prefill.add(Duration::ZERO, wild, 1.0);
        }
        assert_eq!(own.prefill.mean(), None);
        own.prefill.add(Duration::ZERO, 1e9, 100.0);
        for second in 1..=600 {
            own.prefill.add(Duration::from_secs(second), 1.0, 1.0);
        }
        assert!(own.prefill.mean().unwrap().abs() < 0.01);
    }
}
