//! Lists that proxies report by key, and what tables say about reports.

use super::reports::{A, ms, pool, report, says};
use crate::Pool;
use std::collections::HashMap;
use trimtab_loadtable::{Moved, PrefixCount, Report};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn keys_of_another_placement_key_mean_nothing() {
    let mut pool = pool();
    let key = pool.config().placement_key;
    let place = Moved {
        key: 77,
        endpoint: 0,
    };
    let said = |sequence, key| Report {
        placement_key: key,
        decided: 10 * sequence,
        prefixes: vec![PrefixCount { key: 77, count: 9 }],
        moved: vec![place],
        held: vec![place],
        ..report(1, sequence, vec![says(A, 10 * sequence, 0, 0)])
    };
    let known = |pool: &mut Pool, at| {
        let table = pool.table(ms(at));
        assert!(table.endpoints[0].in_flight > Some(0), "what was sent was");
        let moved = table.moved.map_or(0, |moved| moved.len());
        (
            table.heat.map_or(0, |heat| heat.len()),
            moved,
            table.held.len(),
        )
    };
    pool.on_report(ms(100), &said(1, Some([9; 16]))).unwrap();
    pool.on_report(ms(110), &said(2, Some([9; 16]))).unwrap();
    assert_eq!(known(&mut pool, 120), (0, 0, 0));
    pool.on_report(ms(130), &said(3, Some(key))).unwrap();
    assert_eq!(known(&mut pool, 140), (1, 1, 1));
    pool.set_placement_key([9; 16]);
    assert_eq!(known(&mut pool, 150), (0, 0, 0));
    pool.on_report(ms(160), &said(4, Some([9; 16]))).unwrap();
    assert_eq!(known(&mut pool, 170), (1, 1, 1));
    assert_eq!(pool.table(ms(180)).placement_key, [9; 16]);
}

#[test]
fn the_newest_report_of_each_proxy_is_known_until_it_falls_silent() {
    let mut pool = pool();
    let mut reports = |at, proxy, sequence| {
        let report = report(proxy, sequence, vec![]);
        let _accepted = pool.on_report(ms(at), &report).unwrap();
        let _table = pool.table(ms(at));
        pool.included()
    };
    assert_eq!(reports(0, 7, 1), HashMap::from([(7, 1)]));
    assert_eq!(reports(10_000, 7, 3), HashMap::from([(7, 3)]));
    // A report that was overtaken is in the table, and the later one with it.
    assert_eq!(reports(10_000, 7, 2), HashMap::from([(7, 3)]));
    assert_eq!(reports(12_000, 8, 40), HashMap::from([(7, 3), (8, 40)]));
    assert_eq!(reports(26_000, 8, 41), HashMap::from([(8, 41)]));
}
