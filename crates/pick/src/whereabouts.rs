//! Where conversations are, when that is not where their keys put them.
//!
//! A key's place is what every decider can compute. A turn that went elsewhere, because there was too much work at its place,
//! left its conversation's cache there: the decider that sent it remembers, and tells the others by report and table. Each
//! then looks where the conversation is instead of where it was meant to be.

use alloc::vec;
use alloc::vec::Vec;

use crate::rng::mix;
use crate::{EndpointId, Millis};

/// Conversations remembered, 24 bytes each. At 500 moves per second they cover half a minute.
const SLOTS: usize = 1 << 14;
/// Places that one conversation may take.
const WAYS: usize = 8;
/// What a cache holds longer than this after a turn is rare.
const TTL_MS: u64 = 300_000;
/// A table repeats what it said before; so long it may be older than what this decider did itself.
const OWN_MS: u64 = 1_000;
/// A conversation that stays where it went is told again after this, so that it is not forgotten.
const RETELL_MS: u64 = 20_000;
/// Changes kept for the next report; further ones are not told.
const UNTOLD: usize = 64;

/// A bounded memory: a conversation that finds no room takes the place of the one of its few that was heard of longest ago.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    /// Empty until something is to be remembered.
    slots: Vec<Slot>,
    untold: Vec<(u64, EndpointId)>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: u64,
    endpoint: EndpointId,
    /// Milliseconds, shifted by one: the lowest bit says whether this decider sent it there itself.
    at: u64,
}

const FREE: Slot = Slot {
    key: 0,
    endpoint: EndpointId(0),
    at: 0,
};

impl Slot {
    fn age_ms(&self, now: Millis) -> u64 {
        now.0.saturating_sub(self.at >> 1)
    }

    fn is_own(&self) -> bool {
        self.at & 1 == 1
    }
}

impl Whereabouts {
    /// Where the conversation was last seen; absent: at its place, or not known.
    pub(crate) fn find(&self, now: Millis, key: u64) -> Option<EndpointId> {
        let slot = self.slot(key)?;
        (slot.age_ms(now) <= TTL_MS).then_some(slot.endpoint)
    }

    fn slot(&self, key: u64) -> Option<&Slot> {
        let ways = self.slots.get(bucket(key)..)?.get(..WAYS)?;
        ways.iter().find(|slot| slot.key == key && slot.at != 0)
    }

    /// This decider sent a turn to `endpoint`, where nobody would look for the next.
    pub(crate) fn on_moved(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.put(key, endpoint, now.0 << 1 | 1);
        if self.untold.len() < UNTOLD {
            self.untold.push((key, endpoint));
        }
    }

    /// Whether a turn to `endpoint` is worth remembering: it is not where this memory, or without it `place`, says.
    pub(crate) fn is_news(
        &self,
        now: Millis,
        key: u64,
        endpoint: EndpointId,
        place: Option<EndpointId>,
    ) -> bool {
        match self.slot(key) {
            Some(slot) if slot.age_ms(now) <= RETELL_MS => slot.endpoint != endpoint,
            _ => place != Some(endpoint),
        }
    }

    /// Another decider said so.
    pub(crate) fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        let own = self.slot(key).filter(|slot| slot.is_own());
        if own.is_none_or(|own| own.age_ms(now) >= OWN_MS) {
            self.put(key, endpoint, (now.0 << 1).max(2));
        }
    }

    fn put(&mut self, key: u64, endpoint: EndpointId, at: u64) {
        if self.slots.is_empty() {
            self.slots = vec![FREE; SLOTS];
            self.untold.reserve_exact(UNTOLD);
        }
        let ways = self.slots.iter_mut().skip(bucket(key)).take(WAYS);
        // The conversation's own slot, else the oldest; a free one is older than all.
        let slot = ways.min_by_key(|slot| if slot.key == key { 0 } else { slot.at + 1 });
        if let Some(slot) = slot {
            *slot = Slot { key, endpoint, at };
        }
    }

    /// What was not told yet, and is now.
    pub(crate) fn take_untold(&mut self) -> impl Iterator<Item = (u64, EndpointId)> + '_ {
        self.untold.drain(..)
    }
}

/// The first slot of the key's bucket.
fn bucket(key: u64) -> usize {
    (mix(key) as usize % (SLOTS / WAYS)) * WAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Millis = Millis(1_000_000);

    fn at(ms: u64) -> Millis {
        Millis(NOW.0 + ms)
    }

    #[test]
    fn what_was_moved_is_found_until_it_is_old_and_told_once() {
        let mut map = Whereabouts::default();
        assert_eq!(map.find(NOW, 7), None);
        map.on_moved(NOW, 7, EndpointId(3));
        assert_eq!(map.find(at(TTL_MS), 7), Some(EndpointId(3)));
        assert_eq!(map.find(at(TTL_MS + 1), 7), None);
        assert_eq!(map.find(NOW, 8), None);
        assert!(map.take_untold().eq([(7, EndpointId(3))]));
        assert_eq!(map.take_untold().count(), 0);
        for key in 0..1_000 {
            map.on_moved(NOW, key, EndpointId(1));
        }
        assert_eq!(map.take_untold().count(), UNTOLD);
    }

    #[test]
    fn own_moves_stand_against_older_words_for_a_moment() {
        let mut map = Whereabouts::default();
        map.on_told(NOW, 7, EndpointId(1));
        map.on_moved(at(10), 7, EndpointId(2));
        map.on_told(at(500), 7, EndpointId(1));
        assert_eq!(map.find(at(500), 7), Some(EndpointId(2)));
        map.on_told(at(10 + OWN_MS), 7, EndpointId(4));
        assert_eq!(map.find(at(2_000), 7), Some(EndpointId(4)));
        assert_eq!(map.take_untold().count(), 1, "what others say is not repeated");
    }

    #[test]
    fn the_newest_stay_when_there_is_no_room() {
        let mut map = Whereabouts::default();
        let count = 4 * SLOTS as u64;
        for key in 0..count {
            map.on_told(at(key), key, EndpointId(key));
        }
        let now = at(count);
        let found = |range: core::ops::Range<u64>| {
            range.filter(|key| map.find(now, *key) == Some(EndpointId(*key))).count()
        };
        let newest = SLOTS as u64 / 4;
        assert!(found(count - newest..count) as u64 > newest * 98 / 100);
        assert!(found(0..count) <= SLOTS);
        assert_eq!(map.slots.len(), SLOTS);
    }
}
