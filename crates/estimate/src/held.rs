//! What endpoints hold for their clients, as proxies report it: responses, conversations, files.
//!
//! Only the endpoint that holds it can serve a request for it. So every proxy has to know where it
//! is, also a proxy that has just started.

use crate::moved::MovedList;
use std::collections::{BTreeMap, HashMap};
use trimtab_loadtable::{Moved, limits};

/// What was reported, each key once, as much as a table takes. The oldest leaves first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// What was reported recently, for every table.
    late: MovedList,
    /// Key and endpoint by number, and so oldest first.
    all: BTreeMap<u64, (u64, u32)>,
    /// The number of each key.
    numbers: HashMap<u64, u64>,
    next: u64,
}

impl Held {
    /// Records a proxy's report that the endpoint with this id holds `key`. `sequence`: that of the
    /// newest table then.
    pub(crate) fn add(&mut self, key: u64, endpoint: u32, sequence: u64) {
        self.late.add(key, endpoint, sequence);
        if let Some(before) = self.numbers.insert(key, self.next) {
            self.all.remove(&before);
        } else if self.all.len() >= limits::HELD
            && let Some((_, (oldest, _))) = self.all.pop_first()
        {
            self.numbers.remove(&oldest);
        }
        self.all.insert(self.next, (key, endpoint));
        self.next = self.next.wrapping_add(1);
    }

    /// Drops from the recent list what several tables have listed.
    pub(crate) fn expire(&mut self, sequence: u64) {
        self.late.expire(sequence);
    }

    /// Returns the list for every table. `rows`: the endpoints' rows in the table, by id.
    pub(crate) fn late(&self, rows: &HashMap<u32, u16>) -> Vec<Moved> {
        sorted(self.late.list(rows))
    }

    /// Returns the list for a proxy's first table.
    pub(crate) fn all(&self, rows: &HashMap<u32, u16>) -> Vec<Moved> {
        let held = |(key, endpoint): &(u64, u32)| {
            Some(Moved {
                key: *key,
                endpoint: *rows.get(endpoint)?,
            })
        };
        sorted(self.all.values().filter_map(held).collect())
    }
}

fn sorted(mut list: Vec<Moved>) -> Vec<Moved> {
    list.sort_unstable_by_key(|held| held.key);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn all_is_remembered_that_has_room_and_only_the_late_is_repeated() {
        let rows = HashMap::from([(10, 0), (11, 1)]);
        let mut held = Held::default();
        held.add(9, 10, 1);
        held.add(7, 10, 1);
        held.add(7, 11, 2);
        held.add(8, 99, 2);
        let expected = [(7, 1), (9, 0)].map(|(key, endpoint)| Moved { key, endpoint });
        assert_eq!(held.late(&rows), expected, "the newest word, in order");
        held.expire(1_000);
        assert_eq!(held.late(&rows), []);
        assert_eq!(held.all(&rows), expected);
        (100..100 + 2 * limits::HELD as u64).for_each(|key| held.add(key, 10, 3));
        let all = held.all(&rows);
        assert_eq!(all.len(), limits::HELD);
        assert_eq!(held.numbers.len(), limits::HELD);
        assert_eq!(all[0].key, 100 + limits::HELD as u64, "the newest");
    }
}
