//! Fuzzes bytes as a table. They must be refused, or read as a table that can be written, read
//! again and decided on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab_loadtable::{Table, snapshot};
use trimtab_pick::{Config, Millis, Picker, Request, Rng};

fuzz_target!(|bytes: &[u8]| {
    let Ok(table) = Table::decode(bytes) else {
        return;
    };
    assert_eq!(Table::decode(&table.encode()).as_ref(), Ok(&table));
    let mut picker = Picker::new(Config::default());
    picker.on_table(std::rc::Rc::new(snapshot(&table, Millis(0))), None);
    let decision = picker.choose(Millis(0), &mut Rng::new(0), &Request::default());
    assert!(
        decision
            .choices
            .as_slice()
            .iter()
            .all(|index| (*index as usize) < table.endpoints.len())
    );
});
