//! Conversations that moved, passed on from the proxies that sent them to all others.

use std::collections::{BTreeMap, HashMap};

use trimtab_loadtable::{Moved, limits};

/// How many tables repeat an entry, so that a proxy that misses some still gets it.
const TABLES: u64 = 8;

/// What was reported recently, each conversation once.
#[derive(Debug, Default)]
pub(crate) struct MovedList {
    /// By number, and so oldest first.
    entries: BTreeMap<u64, Entry>,
    /// The number of each conversation's entry.
    numbers: BTreeMap<u64, u64>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    endpoint: u32,
    /// The sequence of the newest table when it was reported.
    sequence: u64,
}

impl MovedList {
    /// Records that a proxy sent a turn of `key` to the endpoint with this id. `sequence`: that of
    /// the newest table then. O(log entries).
    pub(crate) fn add(&mut self, key: u64, endpoint: u32, sequence: u64) {
        if let Some(before) = self.numbers.insert(key, self.next) {
            self.entries.remove(&before);
        } else if self.entries.len() >= limits::MOVED {
            self.drop_oldest();
        }
        let entry = Entry {
            key,
            endpoint,
            sequence,
        };
        self.entries.insert(self.next, entry);
        self.next = self.next.wrapping_add(1);
    }

    /// Whether this conversation was reported recently.
    pub(crate) fn knows(&self, key: u64) -> bool {
        self.numbers.contains_key(&key)
    }

    /// Drops entries that `TABLES` tables have listed.
    pub(crate) fn expire(&mut self, sequence: u64) {
        while let Some((_, entry)) = self.entries.first_key_value()
            && entry.sequence.saturating_add(TABLES) < sequence
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, entry)) = self.entries.pop_first() {
            self.numbers.remove(&entry.key);
        }
    }

    /// Returns the list for a table. `rows`: the endpoints' rows in the table, by id.
    pub(crate) fn list(&self, rows: &HashMap<u32, u16>) -> Vec<Moved> {
        let moved = |entry: &Entry| {
            Some(Moved {
                key: entry.key,
                endpoint: *rows.get(&entry.endpoint)?,
            })
        };
        self.entries.values().filter_map(moved).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_newest_word_on_a_conversation_is_said_in_eight_tables() {
        let rows = HashMap::from([(10, 0), (11, 1)]);
        let mut list = MovedList::default();
        list.add(7, 10, 1);
        list.add(7, 11, 2);
        list.add(8, 99, 2);
        let expected = [Moved {
            key: 7,
            endpoint: 1,
        }];
        for sequence in 3..=10 {
            list.expire(sequence);
            assert_eq!(list.list(&rows), expected, "{sequence}");
        }
        list.expire(11);
        assert_eq!(list.list(&rows), []);
    }

    #[test]
    fn it_is_bounded_and_keeps_the_newest() {
        let rows = HashMap::from([(1, 0)]);
        let mut list = MovedList::default();
        (0..2_000).for_each(|key| list.add(key, 1, 1));
        let kept = list.list(&rows);
        assert_eq!(kept.len(), limits::MOVED);
        assert_eq!(kept.last().map(|moved| moved.key), Some(1_999));
    }
}
