//! Where conversations are, if that is not their keys' place.
//!
//! Every picker can compute a key's place. A turn that went elsewhere, because there was too much
//! work at its place, left its conversation's cache there. The picker that sent the turn remembers
//! that. The others learn it from its report and the table. Every picker then looks where the
//! conversation is.
//!
//! Also remembers which endpoints hold something for their clients ([`Whereabouts::of_state`]).

use alloc::vec;
use alloc::vec::Vec;

use crate::rng::mix;
use crate::{EndpointId, Millis};

/// Conversations that are remembered at first, 24 bytes each. The memory doubles while what it
/// would forget is still of use.
const FIRST_SLOTS: usize = 1 << 12;
/// Most conversations that are remembered. At 1,500 moves per second they cover 40 s.
const MOST_SLOTS: usize = 1 << 16;
/// Slots that one conversation may take.
const WAYS: usize = 8;
/// A cache seldom holds a conversation longer than this after a turn.
const TTL_MS: u64 = 300_000;
/// A table repeats itself. For this long it may be older than what this picker did itself.
const OWN_MS: u64 = 1_000;
/// A conversation that stays where it went is reported again after this, so that it is not
/// forgotten.
const RETELL_MS: u64 = 40_000;
/// Changes of conversations that are kept for the next report.
const UNTOLD: usize = 64;

/// For how long a memory is of use.
#[derive(Debug, Clone, Copy)]
struct Keep {
    /// An older entry is not believed.
    ttl_ms: u64,
    /// The memory grows before it forgets a younger entry.
    useful_ms: u64,
    /// Changes kept for the next report. Further ones are not reported.
    untold: usize,
}

/// Conversations: a cache seldom holds one for longer, and one that stays where it went is reported
/// again.
const CONVERSATIONS: Keep = Keep {
    ttl_ms: TTL_MS,
    useful_ms: 2 * RETELL_MS,
    untold: UNTOLD,
};

/// State that no other endpoint has, until its endpoint is gone.
const STATE: Keep = Keep {
    ttl_ms: u64::MAX,
    useful_ms: u64::MAX,
    untold: 8 * UNTOLD,
};

/// A bounded memory. Each conversation may take a few slots. If these are full, it replaces the one
/// there that was reported longest ago.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    keep: Keep,
    /// Empty until there is something to remember.
    slots: Vec<Slot>,
    /// Slots that are not free.
    used: usize,
    untold: Vec<(u64, EndpointId)>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: u64,
    endpoint: EndpointId,
    /// Milliseconds, shifted by one. The lowest bit says whether this picker itself sent it there.
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
    /// A memory of where conversations are.
    pub(crate) fn of_conversations() -> Self {
        Self::keeping(CONVERSATIONS)
    }

    /// A memory of what endpoints hold for their clients, by the names that they gave it.
    pub(crate) fn of_state() -> Self {
        Self::keeping(STATE)
    }

    fn keeping(keep: Keep) -> Self {
        Self {
            keep,
            slots: Vec::new(),
            used: 0,
            untold: Vec::new(),
        }
    }

    /// Returns where the conversation's newest turn went. `None`: to its place, or unknown.
    pub(crate) fn find(&self, now: Millis, key: u64) -> Option<EndpointId> {
        let slot = self.slot(key)?;
        (slot.age_ms(now) <= self.keep.ttl_ms).then_some(slot.endpoint)
    }

    fn slot(&self, key: u64) -> Option<&Slot> {
        let ways = self.slots.get(self.bucket(key)..)?.get(..WAYS)?;
        ways.iter().find(|slot| slot.key == key && slot.at != 0)
    }

    /// Records that this picker sent a turn to `endpoint`, where no picker would look for the next
    /// turn.
    pub(crate) fn on_moved(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.put(key, endpoint, now.0 << 1 | 1);
        if self.untold.len() < self.keep.untold {
            self.untold.push((key, endpoint));
        }
    }

    /// Returns whether a turn to `endpoint` is worth remembering: `endpoint` is not where this
    /// memory says. If this memory has no recent entry, `endpoint` is not `place`.
    pub(crate) fn is_worth_keeping(
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

    /// Records that another picker sent a turn to `endpoint`.
    pub(crate) fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        let own = self.slot(key).filter(|slot| slot.is_own());
        // A table that repeats what this picker reported is nothing new.
        if own.is_none_or(|own| own.endpoint != endpoint && own.age_ms(now) >= OWN_MS) {
            self.put(key, endpoint, (now.0 << 1).max(2));
        }
    }

    fn put(&mut self, key: u64, endpoint: EndpointId, at: u64) {
        if self.slots.is_empty() {
            self.slots = vec![FREE; FIRST_SLOTS];
            self.untold.reserve_exact(self.keep.untold);
        }
        let new = Slot { key, endpoint, at };
        let now = Millis(at >> 1);
        // While more than half of the slots are free, one full bucket is chance.
        let full = 2 * self.used >= self.slots.len();
        if full && self.slots.len() < MOST_SLOTS && self.would_forget(key, now) {
            let old = core::mem::take(&mut self.slots);
            self.slots = vec![FREE; 2 * old.len()];
            self.used = 0;
            old.into_iter()
                .filter(|slot| slot.at != 0)
                .for_each(|slot| self.replace(slot));
        }
        self.replace(new);
    }

    /// Returns whether the only room for `key` is that of a conversation that may still go on.
    fn would_forget(&self, key: u64, now: Millis) -> bool {
        let ways = self.slots.iter().skip(self.bucket(key)).take(WAYS);
        let mut ways = ways.map(|slot| (slot.key, slot.at, slot.age_ms(now)));
        ways.all(|(other, at, age_ms)| other != key && at != 0 && age_ms <= self.keep.useful_ms)
    }

    /// Takes the conversation's own slot, else the oldest of its bucket. A free slot counts as
    /// older than all others.
    fn replace(&mut self, new: Slot) {
        let first = self.bucket(new.key);
        let ways = self.slots.iter_mut().skip(first).take(WAYS);
        let slot = ways.min_by_key(|slot| match slot.key == new.key {
            true => 0,
            false => slot.at.saturating_add(1),
        });
        if let Some(slot) = slot {
            self.used += usize::from(slot.at == 0);
            *slot = new;
        }
    }

    /// The first slot of the key's bucket.
    fn bucket(&self, key: u64) -> usize {
        let buckets = (self.slots.len() / WAYS).max(1) as u64;
        // The result is less than the number of slots.
        (mix(key) % buckets) as usize * WAYS
    }

    /// Reports again what this picker has seen itself, as far as there is room, because the
    /// receiver has forgotten it.
    pub(crate) fn tell_again(&mut self) {
        let room = self.keep.untold.saturating_sub(self.untold.len());
        let own = self.slots.iter().filter(|slot| slot.is_own()).take(room);
        self.untold
            .extend(own.map(|slot| (slot.key, slot.endpoint)));
    }

    /// Returns what was not reported yet, and counts it as reported.
    pub(crate) fn take_untold(&mut self) -> impl Iterator<Item = (u64, EndpointId)> + '_ {
        self.untold.drain(..)
    }
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
        let mut map = Whereabouts::of_conversations();
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
        let mut map = Whereabouts::of_conversations();
        map.on_told(NOW, 7, EndpointId(1));
        map.on_moved(at(10), 7, EndpointId(2));
        map.on_told(at(500), 7, EndpointId(1));
        assert_eq!(map.find(at(500), 7), Some(EndpointId(2)));
        map.on_told(at(10 + OWN_MS), 7, EndpointId(4));
        assert_eq!(map.find(at(2_000), 7), Some(EndpointId(4)));
        assert_eq!(
            map.take_untold().count(),
            1,
            "what others say is not repeated"
        );
    }

    fn found(map: &Whereabouts, now: Millis, keys: core::ops::Range<u64>) -> u64 {
        let known = |key: &u64| map.find(now, *key) == Some(EndpointId(*key));
        keys.filter(known).count() as u64
    }

    #[test]
    fn it_grows_while_what_it_would_forget_is_of_use() {
        let mut map = Whereabouts::of_conversations();
        for key in 0..12_000 {
            map.on_told(at(key), key, EndpointId(key));
        }
        let known = found(&map, at(12_000), 0..12_000);
        assert!(known > 11_800, "{known}");
        assert_eq!(map.slots.len(), MOST_SLOTS / 2);
        // With slow traffic it does not grow, because what it forgets is old.
        let mut map = Whereabouts::of_conversations();
        for key in 0..20_000 {
            map.on_told(at(1_000 * key), key, EndpointId(key));
        }
        assert_eq!(map.slots.len(), FIRST_SLOTS);
    }

    #[test]
    fn the_newest_stay_when_there_is_no_room() {
        let mut map = Whereabouts::of_conversations();
        let count = 4 * MOST_SLOTS as u64;
        for key in 0..count {
            map.on_told(at(key / 10), key, EndpointId(key));
        }
        let now = at(count / 10);
        let newest = MOST_SLOTS as u64 / 4;
        assert!(found(&map, now, count - newest..count) > newest * 98 / 100);
        assert!(found(&map, now, 0..count) <= MOST_SLOTS as u64);
        assert_eq!(map.slots.len(), MOST_SLOTS);
    }

    #[test]
    fn state_is_known_as_long_as_there_is_room() {
        let mut map = Whereabouts::of_state();
        for key in 0..20_000 {
            map.on_told(at(1_000 * key), key, EndpointId(key));
        }
        let known = found(&map, at(100_000_000), 0..20_000);
        assert!(known > 19_700, "{known}");
        map.tell_again();
        assert_eq!(map.take_untold().count(), 0, "others said it");
        for key in 0..600 {
            map.on_moved(at(200_000_000 + key), key, EndpointId(key));
            map.on_told(at(200_002_000 + key), key, EndpointId(key));
        }
        map.take_untold().for_each(drop);
        map.tell_again();
        assert_eq!(map.take_untold().count(), 8 * UNTOLD);
    }
}
