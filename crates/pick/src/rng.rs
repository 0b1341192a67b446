//! The generator behind random choices. The caller seeds it, so decisions can be repeated.

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and three multiply-xor steps. Gives the same
/// numbers natively and in wasm.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Creates a generator that yields the same sequence for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Returns a uniform number in 0..1, in steps of 2^-53. Never 1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits convert to f64 exactly, and the division by a power of two is exact too.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// 2^64 divided by the golden ratio. As an increment it keeps successive inputs of [`mix`] far
/// apart.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64. Every input bit changes every output bit with a chance of about one
/// half.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        // First outputs of SplitMix64 for seed 1234567 (reference implementation by Vigna).
        let mut rng = Rng::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([rng.next_u64(), rng.next_u64()], expected);
    }

    #[test]
    fn unit_stays_below_one_and_has_the_mean_of_a_uniform_variable() {
        let mut rng = Rng::new(7);
        let values: alloc::vec::Vec<f64> = (0..100_000).map(|_| rng.unit()).collect();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)));
        // Standard deviation of the mean: sqrt(1/12/100,000) = 0.0009; five of them.
        assert!((values.iter().sum::<f64>() / 100_000.0 - 0.5).abs() < 0.0046);
    }
}
