//! Conversations that went where their keys do not say: passed on from the proxies that sent them to all others.

use std::collections::{HashMap, VecDeque};

use trimtab_loadtable::{Moved, limits};

/// Tables that repeat what a report said, so that a proxy that misses some still hears of it.
const TABLES: u64 = 8;

/// What was reported lately, oldest first, each conversation once.
#[derive(Debug, Default)]
pub(crate) struct MovedList {
    list: VecDeque<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    endpoint: u32,
    /// The table that was newest when it was reported.
    sequence: u64,
}

impl MovedList {
    /// A proxy sent a turn of `key` to the endpoint with this id, while table `sequence` was the newest.
    pub(crate) fn add(&mut self, key: u64, endpoint: u32, sequence: u64) {
        self.list.retain(|entry| entry.key != key);
        if self.list.len() >= limits::MOVED {
            self.list.pop_front();
        }
        self.list.push_back(Entry {
            key,
            endpoint,
            sequence,
        });
    }

    /// Drops what `TABLES` tables have said.
    pub(crate) fn expire(&mut self, sequence: u64) {
        while let Some(entry) = self.list.front()
            && entry.sequence.saturating_add(TABLES) < sequence
        {
            self.list.pop_front();
        }
    }

    /// What a table says. `rows`: by id, the endpoints' places in the table.
    pub(crate) fn list(&self, rows: &HashMap<u32, u16>) -> Vec<Moved> {
        let moved = |entry: &Entry| {
            Some(Moved {
                key: entry.key,
                endpoint: *rows.get(&entry.endpoint)?,
            })
        };
        self.list.iter().filter_map(moved).collect()
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
        let expected = [Moved { key: 7, endpoint: 1 }];
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
