//! The generator of all random draws of a workload.

/// SplitMix64 (Steele, Lea, Flood 2014).
///
/// A printed seed must mean the same workload years later. `rand` does not promise the same values
/// from its distributions in all releases, so this generator is written here. SplitMix64 is seven
/// lines long, passes BigCrush, and can be split: [`Rng::derive`] gives each session a stream of
/// its own. Logarithms come from `libm`, because those of the platform differ in the last bit
/// between machines.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a well-mixed function of two numbers. It gives an identity to everything that is derived
/// from a seed.
#[must_use]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(GAMMA) ^ b.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// Returns a generator. The same seed yields the same sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns an independent generator for an item. `seed` names the whole, `label` the item in it
    /// (an index, a kind).
    #[must_use]
    pub fn derive(seed: u64, label: u64) -> Self {
        Self::new(mix(seed, label))
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws from the uniform distribution over `(0, 1]`. The value is never zero, so its logarithm
    /// is finite.
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Draws from the exponential distribution with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.unit())
    }

    /// Draws from the standard normal distribution by Box and Muller. The second value of each pair
    /// is dropped, so the generator needs no more state.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }
}

/// Zipf's distribution over `0..n`: item `i` has weight `1 / (i + 1)^exponent`. A draw is a binary
/// search in the cumulative weights.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Makes a distribution of `n` items, or of one if `n` is 0. Exponent 0 is uniform.
    pub(crate) fn new(n: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n.max(1)).map(|rank| {
            sum += libm::pow(f64::from(rank), -exponent);
            sum
        });
        Self {
            cumulative: cumulative.collect(),
        }
    }

    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let point = rng.unit() * total;
        let index = self.cumulative.partition_point(|&c| c < point);
        u32::try_from(index.min(self.cumulative.len().saturating_sub(1))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_match_their_closed_forms() {
        let mut rng = Rng::new(1);
        let n = 200_000;
        let (mut unit, mut exp, mut normal, mut square) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            unit += rng.unit();
            exp += rng.exponential();
            let z = rng.normal();
            normal += z;
            square += z * z;
        }
        let n = f64::from(n);
        assert!((unit / n - 0.5).abs() < 0.005);
        assert!((exp / n - 1.0).abs() < 0.01);
        assert!((normal / n).abs() < 0.01);
        assert!((square / n - 1.0).abs() < 0.02);
    }

    #[test]
    fn zipf_shares_match_the_harmonic_numbers() {
        let zipf = Zipf::new(50, 1.0);
        let harmonic: f64 = (1..=50).map(|k| 1.0 / f64::from(k)).sum();
        let mut counts = [0_u32; 50];
        let mut rng = Rng::new(2);
        for _ in 0..100_000 {
            counts[zipf.draw(&mut rng) as usize] += 1;
        }
        for rank in [1_u32, 2, 10, 50] {
            let expected = 100_000.0 / (f64::from(rank) * harmonic);
            let seen = f64::from(counts[rank as usize - 1]);
            assert!(
                (seen - expected).abs() < 5.0 * expected.sqrt(),
                "rank {rank}: {seen} instead of {expected}"
            );
        }
    }

    #[test]
    fn derived_generators_do_not_share_a_sequence() {
        let first: Vec<u64> = (0..1_000).map(|i| Rng::derive(9, i).next_u64()).collect();
        let mut unique = first.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), first.len());
    }
}
