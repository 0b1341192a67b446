//! The noise that keeps pickers from all choosing the same endpoint.

use core::f64::consts::LN_2;

use crate::Rng;

/// Draws from the standard Gumbel distribution. With such noise the cheapest candidate is a choice
/// by weights.
pub(crate) fn gumbel(rng: &mut Rng) -> f64 {
    // `unit` is below 1 and may be 0. The bounds keep both logarithms finite.
    let unit = rng.unit().max(1e-12);
    -ln((-ln(unit)).max(1e-12))
}

/// Returns the natural logarithm of a positive normal number, to within 0.00002. That is enough for
/// noise, and faster than the exact logarithm, which took a third of a decision's time.
fn ln(value: f64) -> f64 {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    const BIAS: f64 = 1_023.0;
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS) as f64 - BIAS;
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    let mantissa = f64::from_bits(fraction | 1.0_f64.to_bits());
    // ln m = 2 artanh((m - 1) / (m + 1)). The series needs few terms for m from 1 to 2.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0)));
    exponent * LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_logarithm_is_close_to_the_exact_one() {
        let mut rng = Rng::new(3);
        for _ in 0..100_000 {
            let value = libm::exp(60.0 * rng.unit() - 30.0);
            let off = (ln(value) - libm::log(value)).abs();
            assert!(off < 2e-5, "{value}: {off}");
        }
    }

    #[test]
    fn draws_have_mean_and_variance_of_the_standard_gumbel_distribution() {
        let (mut rng, count) = (Rng::new(4), 200_000.0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..count as u32 {
            let draw = gumbel(&mut rng);
            assert!(draw.is_finite());
            sum += draw;
            squares += draw * draw;
        }
        let mean = sum / count;
        let variance = squares / count - mean * mean;
        // Euler's constant and pi^2 / 6. Five standard deviations of the mean are 0.0143, of the
        // variance 0.04.
        assert!((mean - 0.577_215_7).abs() < 0.0143, "{mean}");
        assert!((variance - 1.644_934).abs() < 0.04, "{variance}");
    }
}
