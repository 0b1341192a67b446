//! Tokens, the hashes of their blocks, and the words of answers.

use trimtab_engine::BLOCK_TOKENS;

/// Longest word that is a single token, in bytes.
const WORD_BYTES: usize = 8;
/// Bytes per token of a longer word. About what byte-pair encodings make of English.
const PIECE_BYTES: usize = 4;

/// Counts the tokens of a prompt while it is rendered. Hashes each full block together with
/// everything before it.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    key: u64,
    state: u64,
    count: u32,
    chain: Vec<u64>,
}

impl Tokens {
    /// Makes an empty prompt.
    ///
    /// - `key`: a secret of this server. A client that does not know it cannot choose block hashes,
    ///   and so cannot make hashes collide in the cache's table.
    /// - `domain`: keeps the prefixes of different adapters apart.
    pub(crate) fn new(key: u64, domain: u64) -> Self {
        Self {
            key,
            state: mix(domain),
            count: 0,
            chain: Vec::new(),
        }
    }

    /// Adds the words of `text`.
    pub(crate) fn push_text(&mut self, text: &str) {
        for word in text.split_whitespace().map(str::as_bytes) {
            if word.len() <= WORD_BYTES {
                self.push(word);
            } else {
                word.chunks(PIECE_BYTES).for_each(|piece| self.push(piece));
            }
        }
    }

    /// Adds one token of the chat template, for example the beginning of a role's message.
    pub(crate) fn push_marker(&mut self, marker: &str) {
        let state = marker
            .as_bytes()
            .chunks(WORD_BYTES)
            .fold(0x6d61_726b, |state, part| mix(state ^ packed(part)));
        self.push_hash(state);
    }

    /// Adds one token given by its number.
    pub(crate) fn push_id(&mut self, id: u32) {
        self.push_hash(mix(u64::from(id) | 1 << 40));
    }

    fn push(&mut self, token: &[u8]) {
        self.push_hash(packed(token));
    }

    fn push_hash(&mut self, token: u64) {
        self.state = mix(self.state.rotate_left(23) ^ token);
        self.count = self.count.saturating_add(1);
        if self.count.is_multiple_of(BLOCK_TOKENS) {
            self.chain.push(mix(self.state ^ self.key));
        }
    }

    /// Returns the number of tokens so far.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Returns a number that depends only on the tokens so far and on the domain.
    pub(crate) fn fingerprint(&self) -> u64 {
        mix(self.state)
    }

    /// Returns the hashes of the full blocks.
    pub(crate) fn into_chain(self) -> Vec<u64> {
        self.chain
    }
}

/// Packs up to eight bytes and their number into one word.
fn packed(bytes: &[u8]) -> u64 {
    let word = bytes
        .iter()
        .fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    mix(word ^ (bytes.len() as u64) << 60)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014). Every input bit affects every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The answer to a request: a sequence of words from a seed. Nothing is stored. Word `i` can be
/// computed at any time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) seed: u64,
}

impl Answer {
    /// Returns word `index`: at most eight lower-case ASCII letters. It is one token and needs no
    /// escape in JSON.
    pub(crate) fn word(self, index: u32) -> &'static str {
        let place = mix(self.seed.wrapping_add(u64::from(index))) % WORDS.len() as u64;
        WORDS.get(place as usize).copied().unwrap_or("and")
    }

    /// Returns the length in tokens at which the model would stop by itself. Log-normal with median
    /// 160 and sigma 0.9, as in published chat traces. At least 1.
    pub(crate) fn natural_length(self) -> u32 {
        let bits = mix(self.seed ^ 0x6c65_6e67_7468);
        // The sum of four uniform numbers is nearly normal, with variance 4/12.
        let sum: f64 = (0..4)
            .map(|i| f64::from((bits >> (16 * i)) as u16) / 65_536.0)
            .sum();
        let normal = (sum - 2.0) * 3f64.sqrt();
        (160.0 * (0.9 * normal).exp()).max(1.0) as u32
    }

    /// Returns the first `length` words as text.
    pub(crate) fn text(self, length: u32, leading_space: bool) -> String {
        let mut text = String::with_capacity(length as usize * 6);
        for index in 0..length {
            if index > 0 || leading_space {
                text.push(' ');
            }
            text.push_str(self.word(index));
        }
        text
    }
}

#[rustfmt::skip]
const WORDS: [&str; 128] = [
    "able", "about", "across", "after", "again", "air", "along", "also", "always", "among", "and", "answer", "area", "around", "ask", "back",
    "balance", "base", "because", "before", "begin", "behind", "between", "book", "both", "bring", "build", "but", "call", "care", "carry", "case",
    "change", "city", "clear", "close", "come", "common", "could", "country", "course", "cover", "cross", "dark", "day", "deep", "differ", "direct",
    "door", "down", "draw", "dry", "during", "each", "early", "earth", "east", "easy", "end", "enough", "even", "every", "example", "fact",
    "family", "far", "field", "find", "first", "follow", "food", "form", "found", "from", "gave", "general", "give", "good", "great", "group",
    "grow", "half", "hand", "hard", "have", "heard", "help", "high", "home", "hour", "house", "idea", "keep", "kind", "land", "large",
    "late", "learn", "left", "letter", "light", "line", "list", "little", "long", "made", "many", "mean", "measure", "might", "more", "morning",
    "most", "move", "much", "near", "never", "night", "north", "number", "often", "open", "order", "other", "part", "people", "place", "water",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Tokens {
        let mut tokens = Tokens::new(1, 2);
        tokens.push_text(text);
        tokens
    }

    #[test]
    fn short_words_are_one_token_and_long_ones_a_token_per_four_bytes() {
        for (text, count) in [
            ("", 0),
            (" \n\t", 0),
            ("w0 w3999", 2),
            ("12345678", 1),
            ("123456789", 3),
            ("ab\u{a0}cd", 2),
        ] {
            assert_eq!(tokens(text).count(), count, "{text:?}");
        }
    }

    #[test]
    fn the_answer_is_made_of_single_tokens_that_need_no_escape() {
        for word in WORDS {
            assert_eq!(tokens(word).count(), 1);
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
        }
        let answer = Answer { seed: 9 };
        assert_eq!(tokens(&answer.text(500, true)).count(), 500);
    }

    #[test]
    fn natural_lengths_have_the_median_and_spread_they_promise() {
        let mut lengths: Vec<u32> = (0..20_000)
            .map(|seed| Answer { seed: mix(seed) }.natural_length())
            .collect();
        lengths.sort_unstable();
        let at = |share: f64| f64::from(lengths[(share * 20_000.0) as usize]);
        assert!((at(0.5) / 160.0 - 1.0).abs() < 0.05, "median {}", at(0.5));
        // The quantile 0.841 is one sigma above the median.
        assert!(
            (at(0.841) / (160.0 * 0.9f64.exp()) - 1.0).abs() < 0.08,
            "p84 {}",
            at(0.841)
        );
    }

    proptest! {
        #[test]
        fn chains_agree_exactly_as_far_as_the_tokens_do(
            same in prop::collection::vec("[a-c]{1,3}", 0..80),
            left in prop::collection::vec("[d-f]{1,3}", 0..40),
            right in prop::collection::vec("[g-i]{1,3}", 0..40),
        ) {
            let chain = |tail: &[String]| tokens(&[&same[..], tail].concat().join(" ")).into_chain();
            let (left, right) = (chain(&left), chain(&right));
            let agree = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
            prop_assert_eq!(agree, (same.len() / BLOCK_TOKENS as usize).min(left.len()).min(right.len()));
        }

        #[test]
        fn any_text_is_counted_without_panic(text in any::<String>()) {
            let words = text.split_whitespace().map(|w| if w.len() <= 8 { 1 } else { w.len().div_ceil(4) }).sum::<usize>();
            prop_assert_eq!(tokens(&text).count() as usize, words);
        }
    }
}
