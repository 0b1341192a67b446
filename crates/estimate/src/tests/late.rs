//! Pages that come later than the timeout.

use crate::{Counters, EndpointSpec, Missed, Pool, PoolConfig, Sample};
use std::time::Duration;
use trimtab_loadtable::{Doubt, EndpointReport, Report, State};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const B: &str = "10.0.0.2:8000";

/// A pool of B alone. Its three pages took three seconds each, and the last was asked for at 6.8 s.
fn after_late_pages() -> Pool {
    let ms = Duration::from_millis;
    let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
    let spec = EndpointSpec {
        address: B.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(ms(0), vec![spec]);
    for asked in [400, 3_600, 6_800] {
        for second in 1..=3 {
            pool.on_scrape_failed(ms(asked + 1_000 * second), B, Missed::Late);
        }
        let sample = Sample {
            waiting: Some(4.0),
            running: Some(8.0),
            counters: Counters {
                generation_tokens: Some(asked as f64),
                ..Counters::default()
            },
            ..Sample::default()
        };
        pool.on_late_sample(ms(asked + 3_000), ms(asked), B, sample);
    }
    pool
}

#[test]
fn pages_that_come_late_are_used_and_as_old_as_the_question() {
    let ms = Duration::from_millis;
    let mut pool = after_late_pages();
    let row = |pool: &mut Pool, at| pool.table(ms(at)).endpoints.remove(0);
    let now = row(&mut pool, 9_800);
    assert_eq!((now.state, now.doubt), (State::Ready, None));
    assert_eq!(
        (now.waiting, now.running, now.age_ms),
        (Some(4), Some(8), 3_000)
    );
    // The state lasts until the next page is due.
    for at in [11_000, 12_000, 13_000] {
        pool.on_scrape_failed(ms(at), B, Missed::Late);
    }
    assert_eq!(row(&mut pool, 13_000).state, State::Ready);
    // The sample may be as old as two seconds plus twice three.
    assert_eq!(row(&mut pool, 14_800).state, State::Ready);
    let gone = row(&mut pool, 14_801);
    assert_eq!(
        (gone.state, gone.doubt),
        (State::Suspect, Some(Doubt::Late))
    );
    let sample = Sample {
        waiting: Some(0.0),
        running: Some(0.0),
        ..Sample::default()
    };
    // After a page that came in time only the usual two seconds hold.
    pool.on_sample(ms(15_000), B, sample);
    assert_eq!(row(&mut pool, 17_000).state, State::Ready);
    assert_eq!(row(&mut pool, 17_001).state, State::Suspect);
}

#[test]
fn a_server_that_was_late_and_then_says_nothing_is_left_after_three_failures() {
    let ms = Duration::from_millis;
    let mut pool = after_late_pages();
    for at in [11_000, 12_000, 13_000] {
        assert_eq!(pool.table(ms(at)).endpoints[0].state, State::Ready);
        pool.on_scrape_failed(ms(at), B, Missed::Unreachable);
    }
    let row = pool.table(ms(13_000)).endpoints.remove(0);
    let expected = (State::Suspect, Some(Doubt::Unreachable));
    assert_eq!((row.state, row.doubt), expected);
}

#[test]
fn what_proxies_sent_while_a_page_was_under_way_is_added_to_it() {
    let ms = Duration::from_millis;
    let mut pool = after_late_pages();
    let report = |sequence: u64, sent: u64| Report {
        pool: "chat".into(),
        proxy: 1,
        sequence,
        workers: 1,
        endpoints: vec![EndpointReport {
            address: B.into(),
            sent,
            in_flight: sent as u32,
            ..EndpointReport::default()
        }],
        ..Report::default()
    };
    pool.on_report(ms(9_900), &report(1, 0)).unwrap();
    pool.on_report(ms(10_900), &report(2, 6)).unwrap();
    let sample = |tokens: f64| Sample {
        waiting: Some(0.0),
        running: Some(1.0),
        counters: Counters {
            generation_tokens: Some(tokens),
            ..Counters::default()
        },
        ..Sample::default()
    };
    pool.on_late_sample(ms(13_000), ms(10_000), B, sample(9_000.0));
    let row = pool.table(ms(13_000)).endpoints.remove(0);
    assert_eq!((row.waiting, row.running), (Some(6), Some(1)));
    // A page that came in time includes them.
    pool.on_sample(ms(13_200), B, sample(9_100.0));
    let row = pool.table(ms(13_200)).endpoints.remove(0);
    assert_eq!((row.waiting, row.running), (Some(0), Some(1)));
}
