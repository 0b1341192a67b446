//! Remembers keys of texts, and finds those that several conversations have.
//!
//! All turns of one conversation go on in the same way behind the block that their key comes from.
//! Where two texts with one key have different next blocks, what they have in common reaches into
//! the block of the key: a system prompt, for example. Such a key tells no conversations apart.

use alloc::vec;
use alloc::vec::Vec;

/// Keys that are remembered, a power of two. 96 KiB, allocated with the first key.
const SLOTS: usize = 16_384;
/// Lengths of texts are remembered in this unit. 16 bits are enough for a million tokens.
const TOKENS: u32 = 16;

/// A key that a text may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// A hash.
    pub(super) key: u64,
    /// The digest of the block behind the one that the key comes from. 0: the text ends before.
    pub(super) next: u32,
}

impl Key {
    /// A key with nothing behind it that could be compared.
    pub(super) fn last(key: u64) -> Self {
        Self { key, next: 0 }
    }
}

/// The newest keys, by slot. Two keys with the same 30 bits are taken for one.
#[derive(Debug, Default)]
pub(super) struct SeenKeys {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Slot {
    tag: u16,
    next: Next,
    /// Tokens of the newest text with this key, in units of [`TOKENS`].
    tokens: u16,
}

/// What follows behind the block of a key: bits of one digest, or one of the two values below.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Next(u16);

impl Next {
    const UNKNOWN: Self = Self(0);
    const SEVERAL: Self = Self(1);

    fn of(digest: u32) -> Self {
        match digest {
            0 => Self::UNKNOWN,
            _ => Self((digest >> 16) as u16 | 2),
        }
    }

    fn and(self, now: Self) -> Self {
        match (self, now) {
            (before, Self::UNKNOWN) => before,
            (Self::UNKNOWN, now) => now,
            (before, now) if before == now => before,
            _ => Self::SEVERAL,
        }
    }
}

impl SeenKeys {
    /// Remembers a text's key. Returns the tokens of the text before it with this key. `None`: the
    /// key is new here.
    pub(super) fn add(&mut self, key: &Key, prompt_tokens: u32) -> Option<u32> {
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
        let slot = self.slots.get_mut(place(key.key))?;
        let before = (slot.tag == tag(key.key)).then_some(*slot);
        *slot = Slot {
            tag: tag(key.key),
            next: before.unwrap_or_default().next.and(Next::of(key.next)),
            tokens: u16::try_from(prompt_tokens / TOKENS).unwrap_or(u16::MAX),
        };
        before.map(|before| u32::from(before.tokens) * TOKENS)
    }

    /// Returns whether texts with this key were seen to go on in different ways.
    pub(super) fn is_shared(&self, key: u64) -> bool {
        let slot = self.slots.get(place(key));
        slot.is_some_and(|slot| slot.tag == tag(key) && slot.next == Next::SEVERAL)
    }
}

fn place(key: u64) -> usize {
    key as usize & (SLOTS - 1)
}

fn tag(key: u64) -> u16 {
    (key >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const KEY: u64 = 0x1234_0000_0000_0007;
    const ONE: u32 = 0x0010_0000;
    const OTHER: u32 = 0x0020_0000;

    fn after(next: &[u32]) -> SeenKeys {
        let mut seen = SeenKeys::default();
        for next in next {
            let key = Key {
                key: KEY,
                next: *next,
            };
            seen.add(&key, 0);
        }
        seen
    }

    #[test]
    fn a_key_is_known_from_its_second_time_on_with_the_length_of_the_text() {
        let mut seen = SeenKeys::default();
        let mut add = |key, tokens| seen.add(&Key::last(key), tokens);
        assert_eq!(add(KEY, 1_600), None);
        assert_eq!(add(KEY, u32::MAX), Some(1_600));
        assert_eq!(add(KEY, 0), Some(65_535 * TOKENS), "the longest length");
        assert_eq!(add(KEY + 1, 0), None);
        assert_eq!(add(KEY ^ (1 << 63), 0), None, "another tag");
        assert_eq!(add(KEY, 0), None, "and its slot is taken");
    }

    #[test]
    fn texts_that_go_on_in_different_ways_share_their_key() {
        assert!(after(&[ONE, OTHER]).is_shared(KEY));
        assert!(after(&[ONE, 0, OTHER, ONE]).is_shared(KEY));
        assert!(!after(&[ONE, OTHER]).is_shared(KEY + 1));
    }

    #[test]
    fn a_conversation_that_grows_or_is_sent_again_keeps_its_key() {
        for same in [&[][..], &[0, 0], &[0, ONE, ONE], &[ONE, 0, ONE]] {
            assert!(!after(same).is_shared(KEY), "{same:?}");
        }
    }

    #[test]
    fn a_key_in_the_slot_of_a_shared_one_begins_anew() {
        let mut seen = after(&[ONE, OTHER]);
        let other = KEY ^ (1 << 63);
        let key = Key {
            key: other,
            next: ONE,
        };
        seen.add(&key, 0);
        assert!(!seen.is_shared(other) && !seen.is_shared(KEY));
    }
}
