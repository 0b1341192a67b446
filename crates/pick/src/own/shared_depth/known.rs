//! How likely others know a beginning that is new here, and how much of it they share.

use super::{MEAN_REQUESTS, move_to};
use crate::own::mean_part::MeanPart;
use crate::own::recurrence::Recurrence;

/// How many prompts the belief at the start is worth. Of 200 shared beginnings with Zipf's
/// popularity, one comes again within seven prompts.
const FIRST_BELIEF: f64 = 4.0;

/// What is known of the beginnings of all prompts, and of those with and without a marked part.
#[derive(Debug)]
pub(super) struct KnownBeginnings {
    all: Known,
    text: Known,
    marked: Known,
    /// The share of the prompts that are texts.
    texts: f64,
    /// The mean part of a text that texts with the same beginning share, 0 to 1. It does not depend
    /// on where requests went. What the pool's caches show does: a pool that has scattered its
    /// prompts shows little, and would go on to scatter them.
    text_part: MeanPart,
}

impl Default for KnownBeginnings {
    fn default() -> Self {
        Self {
            all: Known::default(),
            text: Known::default(),
            marked: Known::default(),
            texts: 1.0,
            text_part: MeanPart::default(),
        }
    }
}

impl KnownBeginnings {
    /// Records a prompt.
    ///
    /// - `known`: its beginning had been seen here.
    /// - `own_share`: the part of the pool's requests that this picker gets, 0 to 1.
    pub(super) fn add(&mut self, known: bool, is_marked: bool, own_share: f64) {
        self.all.add(known, own_share);
        move_to(&mut self.texts, !is_marked, MEAN_REQUESTS);
        match is_marked {
            true => self.marked.add(known, own_share),
            false => self.text.add(known, own_share),
        }
    }

    /// Records what a text shares with the one before it.
    ///
    /// - `tokens`: that both share.
    /// - `whole`: tokens of the text.
    pub(super) fn on_compared(&mut self, tokens: f64, whole: f64) {
        self.text_part.add(tokens, whole);
    }

    /// Returns the part of a text with a new beginning that others are expected to share, 0 to 1.
    ///
    /// The pool's caches show how much of a mean prompt is cached. That applies to texts only as
    /// far as prompts are texts. Beside prompts that mark what they share, a long text most likely
    /// shares nothing.
    ///
    /// - `cached_share`: the cached share of the pool's mean prompt, 0 to 1.
    pub(super) fn new_text_part(&self, cached_share: f64) -> f64 {
        let chance = self.texts * self.all.elsewhere() + (1.0 - self.texts) * self.text.elsewhere();
        chance * cached_share.max(self.text_part.get())
    }

    /// Returns the chance that others have seen a marked part that is new here, 0 to 1.
    pub(super) fn new_marked_chance(&self) -> f64 {
        self.marked.elsewhere()
    }
}

/// How likely others know a beginning of one kind that is new here.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    recurrence: Recurrence,
    prompts: f64,
}

impl Known {
    fn add(&mut self, known: bool, own_share: f64) {
        self.prompts += 1.0;
        self.recurrence.add(known, own_share);
    }

    /// Returns the chance, 0 to 1. A picker that has just started knows nothing. Until some prompts
    /// were seen, others count as knowing all.
    fn elsewhere(&self) -> f64 {
        let belief = FIRST_BELIEF / (FIRST_BELIEF + self.prompts);
        belief + (1.0 - belief) * self.recurrence.chance_elsewhere()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// After so many texts, of which each `nth` had a beginning that was known here.
    fn after(texts: u32, nth: u32, own_share: f64) -> KnownBeginnings {
        let mut beginnings = KnownBeginnings::default();
        for number in 1..=texts {
            beginnings.add(number % nth == 0, false, own_share);
        }
        beginnings
    }

    #[test]
    fn one_known_beginning_in_ten_says_little_to_one_of_ten_pickers_and_all_to_one_of_a_thousand() {
        let part = |own_share| after(5_000, 10, own_share).new_text_part(1.0);
        assert!(part(1.0) < 0.01, "nobody else could have seen it");
        assert!((0.4..0.6).contains(&part(0.1)), "{}", part(0.1));
        assert!(part(0.001) > 0.95, "{}", part(0.001));
    }

    #[test]
    fn what_never_comes_again_is_known_to_nobody() {
        for own_share in [0.1, 0.01] {
            let part = after(5_000, 10_000, own_share).new_text_part(1.0);
            assert!(part < 0.2, "{own_share}: {part}");
        }
    }

    #[test]
    fn texts_that_share_much_are_expected_to_though_the_caches_show_little() {
        let mut beginnings = after(200, 2, 0.01);
        assert!(beginnings.new_text_part(0.1) < 0.1);
        (0..100).for_each(|_| beginnings.on_compared(0.8, 1.0));
        assert!((0.75..0.8).contains(&beginnings.new_text_part(0.1)));
        assert!(beginnings.new_text_part(0.95) > 0.9, "the caches show more");
    }
}
