//! What part of a text something is, in the mean.

/// Texts over which a mean is taken.
const TEXTS: f64 = 50.0;

/// A mean over the newest texts, 0 to 1. 0 before the first one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MeanPart {
    part: f64,
    of: f64,
}

impl MeanPart {
    /// Adds one text.
    ///
    /// - `tokens`: of the part.
    /// - `whole`: tokens of the text. 0 says nothing.
    pub(super) fn add(&mut self, tokens: f64, whole: f64) {
        if whole > 0.0 {
            self.of = (self.of + 1.0).min(TEXTS);
            self.part += ((tokens / whole).min(1.0) - self.part) / self.of;
        }
    }

    pub(super) fn get(&self) -> f64 {
        self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_first_counts_whole_and_later_ones_by_their_number() {
        let mut mean = MeanPart::default();
        mean.add(3.0, 4.0);
        assert_eq!(mean.get(), 0.75);
        mean.add(1.0, 4.0);
        assert_eq!(mean.get(), 0.5);
        mean.add(9.0, 0.0);
        assert_eq!(mean.get(), 0.5);
        (0..1_000).for_each(|_| mean.add(9.0, 4.0));
        assert!(
            (0.99..=1.0).contains(&mean.get()),
            "a part is not larger than the whole"
        );
    }
}
