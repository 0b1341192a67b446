//! Distributions of lengths, counts and pauses.

use serde::Deserialize;

use crate::Rng;

/// A distribution of values that are not negative. The field that holds it has the unit in its
/// name.
///
/// In a scenario file:
///
/// - `{ constant = 400 }`
/// - `{ uniform = { min = 1000, max = 6000 } }`
/// - `{ lognormal = { median = 130, sigma = 1.1, max = 8000 } }`
/// - `{ exponential = { mean = 5 } }`
/// - `{ geometric = { mean = 5.5 } }`
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Dist {
    /// Always this value.
    Constant(f64),
    /// Uniform in `min..=max`.
    Uniform {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// `median * exp(sigma * normal)`, at most `max`.
    LogNormal {
        /// Half of the values are below this.
        median: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
        /// Larger draws become this value.
        max: f64,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean: f64,
    },
    /// 1, 2, 3 and so on, with a constant chance to stop after each.
    Geometric {
        /// Mean, at least 1.
        mean: f64,
    },
}

/// The largest value of any distribution: tokens of a prompt, turns, seconds.
const LARGEST: f64 = 10_000_000.0;

impl Dist {
    /// Draws one value.
    pub fn draw(&self, rng: &mut Rng) -> f64 {
        let value = match *self {
            Self::Constant(value) => value,
            Self::Uniform { min, max } => min + (max - min) * rng.unit(),
            Self::LogNormal { median, sigma, max } => {
                (median * libm::exp(sigma * rng.normal())).min(max)
            }
            Self::Exponential { mean } => mean * rng.exponential(),
            // The inverse of the cumulative distribution. With a mean of 1 the chance to stop at
            // once is 1.
            Self::Geometric { mean } if mean > 1.0 => {
                1.0 + libm::floor(-rng.exponential() / libm::log(1.0 - 1.0 / mean))
            }
            Self::Geometric { .. } => 1.0,
        };
        value.clamp(0.0, LARGEST)
    }

    /// Draws a whole number of at least 1, for tokens and turns.
    pub(crate) fn draw_count(&self, rng: &mut Rng) -> u32 {
        // The value fits, because `draw` limits it to 10 million.
        libm::round(self.draw(rng)).max(1.0) as u32
    }

    /// Returns the first problem of the parameters. Each must be a number from 0 to ten million.
    pub(crate) fn problem(&self) -> Option<String> {
        let (numbers, order) = match *self {
            Self::Constant(value) => (vec![("constant", value)], None),
            Self::Uniform { min, max } => (
                vec![("min", min), ("max", max)],
                (min > max).then_some("min is above max"),
            ),
            Self::LogNormal { median, sigma, max } => {
                let order = (median > max).then_some("median is above max");
                (
                    vec![("median", median), ("sigma", sigma), ("max", max)],
                    order,
                )
            }
            Self::Exponential { mean } => (vec![("mean", mean)], None),
            Self::Geometric { mean } => (
                vec![("mean", mean)],
                (mean < 1.0).then_some("mean of a geometric is below 1"),
            ),
        };
        let bad = numbers
            .into_iter()
            .find(|(_, value)| !(0.0..=LARGEST).contains(value));
        bad.map(|(name, value)| format!("{name} is {value}: give a number from 0 to {LARGEST}"))
            .or_else(|| order.map(|text| format!("{text} in {self:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(dist: Dist) -> f64 {
        let mut rng = Rng::new(3);
        (0..100_000).map(|_| dist.draw(&mut rng)).sum::<f64>() / 100_000.0
    }

    #[test]
    fn means_match_their_closed_forms() {
        let lognormal = Dist::LogNormal {
            median: 100.0,
            sigma: 0.5,
            max: 1e6,
        };
        for (dist, expected) in [
            (Dist::Constant(7.0), 7.0),
            (Dist::Uniform { min: 2.0, max: 4.0 }, 3.0),
            (lognormal, 100.0 * f64::exp(0.125)),
            (Dist::Exponential { mean: 5.0 }, 5.0),
            (Dist::Geometric { mean: 5.5 }, 5.5),
            (Dist::Geometric { mean: 1.0 }, 1.0),
        ] {
            let seen = mean(dist);
            assert!(
                (seen / expected - 1.0).abs() < 0.02,
                "{dist:?}: {seen} instead of {expected}"
            );
        }
    }

    #[test]
    fn a_lognormal_never_passes_its_maximum() {
        let dist = Dist::LogNormal {
            median: 100.0,
            sigma: 2.0,
            max: 300.0,
        };
        let mut rng = Rng::new(4);
        assert!((0..10_000).all(|_| dist.draw(&mut rng) <= 300.0));
    }

    #[test]
    fn bad_parameters_are_named_with_their_value() {
        assert_eq!(Dist::Constant(1.0).problem(), None);
        let text = Dist::Exponential { mean: -1.0 }.problem().unwrap();
        assert!(text.contains("mean is -1"), "{text}");
        assert!(
            Dist::Uniform {
                min: 2.0,
                max: f64::NAN
            }
            .problem()
            .unwrap()
            .contains("max is NaN")
        );
        assert!(
            Dist::Uniform { min: 2.0, max: 1.0 }
                .problem()
                .unwrap()
                .contains("min is above max")
        );
        assert!(
            Dist::Geometric { mean: 0.5 }
                .problem()
                .unwrap()
                .contains("below 1")
        );
    }
}
