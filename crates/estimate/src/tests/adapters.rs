//! What a row says of adapters.

use super::rows::{load, ms, pool, row};
use crate::{Adapters, Pool, Sample};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: &str = "10.0.0.1:8000";

#[test]
fn adapters_stay_resident_until_others_need_their_slots() {
    let mut pool = pool(&[A]);
    let uses = |names: &[&str]| Sample {
        adapters: Some(Adapters {
            running: names.iter().map(|name| (*name).into()).collect(),
            waiting: vec!["queued".into()],
            slots: Some(2),
            loaded: None,
        }),
        ..load(0.0, 1.0)
    };
    let resident = |pool: &mut Pool, t| {
        let table = pool.table(ms(t));
        let list = row(&table, A)
            .adapters
            .clone()
            .expect("the server names adapters");
        list.iter()
            .map(|index| table.adapters[usize::from(*index)].clone())
            .collect::<Vec<_>>()
    };
    pool.on_sample(ms(0), A, uses(&["sql"]));
    pool.on_sample(ms(200), A, uses(&[]));
    assert_eq!(
        resident(&mut pool, 200),
        ["sql"],
        "not in use and still loaded"
    );
    pool.on_sample(ms(400), A, uses(&["law"]));
    assert_eq!(resident(&mut pool, 400), ["law", "sql"]);
    pool.on_sample(ms(600), A, uses(&["art"]));
    assert_eq!(
        resident(&mut pool, 600),
        ["art", "law"],
        "two slots: the least recently used goes"
    );
    pool.on_sample(ms(800), A, load(0.0, 1.0));
    assert_eq!(resident(&mut pool, 800), ["art", "law"]);
}

#[test]
fn a_slot_that_a_waiting_adapter_will_take_is_no_room() {
    let room = |running: &[&str], waiting: &[&str], slots| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let adapters = Some(Adapters {
            running: names(running),
            waiting: names(waiting),
            slots,
            loaded: None,
        });
        let mut pool = pool(&[A]);
        pool.on_sample(
            ms(0),
            A,
            Sample {
                adapters,
                ..load(0.0, 1.0)
            },
        );
        row(&pool.table(ms(0)), A).adapter_room
    };
    assert_eq!(room(&["sql"], &[], Some(2)), Some(true));
    assert_eq!(room(&["sql"], &["sql"], Some(2)), Some(true), "it has one");
    assert_eq!(room(&["sql"], &["law"], Some(2)), Some(false));
    assert_eq!(room(&["sql", "law"], &[], Some(2)), Some(false));
    assert_eq!(
        room(&[], &["law", "law"], Some(2)),
        Some(true),
        "one slot for both"
    );
    assert_eq!(room(&["sql"], &[], None), None);
}

#[test]
fn what_a_server_says_is_loaded_is_what_is_resident() {
    let mut pool = pool(&[A]);
    let says = |running: &[&str], loaded: Option<&[&str]>| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        Sample {
            adapters: Some(Adapters {
                running: names(running),
                loaded: loaded.map(names),
                ..Adapters::default()
            }),
            ..load(0.0, 1.0)
        }
    };
    let resident = |pool: &mut Pool, t| {
        let table = pool.table(ms(t));
        let list = row(&table, A).adapters.clone();
        let name = |index: u16| table.adapters[usize::from(index)].clone();
        list.map(|list| list.into_iter().map(name).collect::<Vec<_>>())
    };
    pool.on_sample(ms(0), A, says(&["sql"], None));
    pool.on_sample(ms(200), A, says(&[], Some(&["art", "law"])));
    assert_eq!(resident(&mut pool, 200).unwrap(), ["art", "law"]);
    pool.on_sample(ms(400), A, says(&[], Some(&[])));
    assert_eq!(
        resident(&mut pool, 400),
        Some(Vec::new()),
        "none, and that is known"
    );
}
