//! Names, addresses, their order, and the arena that contains them.

use super::{field, refused};
use crate::golden::{report, table};
use crate::{DecodeError, Report, Table, wire};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn names_and_addresses_are_checked() {
    let change = |change: fn(&mut Table)| {
        let mut table = table();
        change(&mut table);
        field(&Table::decode(&table.encode()).expect_err("must be refused"))
    };
    assert_eq!(change(|table| table.pool.clear()), "pool");
    assert_eq!(change(|table| table.pool = "x".repeat(254)), "pool");
    assert_eq!(change(|table| table.pool.push('\n')), "pool");
    assert_eq!(change(|table| table.adapters[1].push('\u{7}')), "adapters");
    assert_eq!(
        change(|table| table.classes[0].name = "x".repeat(254)),
        "classes"
    );
    assert_eq!(
        change(|table| table.endpoints[0].zone = "a\r".into()),
        "zone"
    );
    for address in [
        "",
        "localhost:8000",
        "10.1.0.10",
        "10.1.0.10:0",
        "10.1.0.10:65536",
        "::1:80",
        " 10.1.0.10:80",
    ] {
        let mut table = table();
        table.endpoints.truncate(1);
        table.endpoints[0].address = address.to_owned();
        let error = Table::decode(&table.encode()).expect_err("must be refused");
        assert!(
            matches!(&error, DecodeError::Text { field: "address", row: 0, value, .. } if value == address)
        );
    }
}

#[test]
fn rows_out_of_order_or_twice_there_are_refused() {
    let change = |change: fn(&mut Table)| {
        let mut table = table();
        change(&mut table);
        Table::decode(&table.encode()).expect_err("must be refused")
    };
    assert_eq!(
        change(|table| table.endpoints.swap(1, 2)),
        DecodeError::Order {
            field: "address",
            row: 2
        }
    );
    let twice = change(|table| table.endpoints[1] = table.endpoints[0].clone());
    assert_eq!(
        twice,
        DecodeError::Order {
            field: "address",
            row: 1
        }
    );
    assert_eq!(
        change(|table| table.adapters.swap(0, 1)),
        DecodeError::Order {
            field: "adapters",
            row: 1
        }
    );
    let resident = change(|table| table.endpoints[0].adapters = Some(vec![1, 0]));
    assert_eq!(
        resident,
        DecodeError::Order {
            field: "adapters",
            row: 0
        }
    );
    let mut report = report();
    report.endpoints.swap(0, 1);
    assert_eq!(
        Report::decode(&report.encode()),
        Err(DecodeError::Order {
            field: "address",
            row: 1
        })
    );
}

#[test]
fn an_arena_must_be_cut_exactly_and_between_characters() {
    let change = |change: fn(&mut wire::Strings)| {
        refused(|message| change(message.adapters.as_mut().expect("adapters")))
    };
    assert!(matches!(
        change(|arena| arena.lengths[1] += 1),
        DecodeError::Range {
            field: "adapters",
            row: 1,
            ..
        }
    ));
    assert!(matches!(
        change(|arena| arena.lengths[1] -= 1),
        DecodeError::Column {
            field: "adapters",
            ..
        }
    ));
    assert!(matches!(
        change(|arena| arena.lengths[0] = u32::MAX),
        DecodeError::Range { .. }
    ));
    let split = change(|arena| {
        *arena = wire::Strings {
            text: "ä".to_owned(),
            lengths: vec![1, 1],
        }
    });
    assert!(matches!(
        split,
        DecodeError::Range {
            field: "adapters",
            row: 0,
            ..
        }
    ));
}

#[test]
fn a_hostile_name_does_not_fill_the_log() {
    let mut table = table();
    table.pool = "x".repeat(100_000);
    let text = Table::decode(&table.encode())
        .expect_err("must be refused")
        .to_string();
    assert!(text.len() < 300, "{} bytes", text.len());
}
