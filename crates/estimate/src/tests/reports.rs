//! Reports of proxies move rows forward, and are bounded.

use crate::{Accepted, Counters, EndpointSpec, Pool, PoolConfig, Refusal, Sample, SumCount};
use std::time::Duration;
use trimtab_loadtable::{Endpoint, EndpointReport, Moved, PrefixCount, Report};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

pub(super) const A: &str = "10.0.0.1:8000";
const B: &str = "10.0.0.2:8000";

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn pool() -> Pool {
    let mut config = PoolConfig::new("chat", 7, [1; 16]);
    config.max_proxies = 3;
    config.max_proxy_endpoints = 5;
    let mut pool = Pool::new(config);
    let spec = |address: &str| EndpointSpec {
        address: address.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(ms(0), vec![spec(A), spec(B)]);
    for address in [A, B] {
        pool.on_sample(
            ms(0),
            address,
            Sample {
                waiting: Some(2.0),
                running: Some(10.0),
                ..Sample::default()
            },
        );
    }
    pool
}

pub(super) fn report(proxy: u64, sequence: u64, endpoints: Vec<EndpointReport>) -> Report {
    Report {
        pool: "chat".into(),
        proxy,
        sequence,
        workers: 2,
        endpoints,
        ..Report::default()
    }
}

pub(super) fn says(address: &str, sent: u64, started: u64, finished: u64) -> EndpointReport {
    let in_flight = u32::try_from(sent - finished).unwrap();
    EndpointReport {
        seen: Vec::new(),
        address: address.into(),
        in_flight,
        pending_tokens: 100 * in_flight,
        sent,
        started,
        finished,
        sent_tokens: 100 * sent,
        pending: in_flight,
        failed: 0,
    }
}

fn rows(pool: &mut Pool, now: Duration) -> (Endpoint, Endpoint) {
    let table = pool.table(now);
    table.check().expect("a table always passes its own check");
    let mut endpoints = table.endpoints.into_iter();
    (endpoints.next().unwrap(), endpoints.next().unwrap())
}

#[test]
fn nobody_reports_and_nothing_is_said_about_flights() {
    let mut pool = pool();
    let table = pool.table(ms(100));
    assert_eq!(
        (
            table.deciders,
            table.endpoints[0].in_flight,
            table.endpoints[0].pending_tokens
        ),
        (None, None, None)
    );
    assert_eq!(table.endpoints[0].age_ms, 100);
}

#[test]
fn a_row_moves_forward_by_what_was_sent_started_and_finished_since_the_scrape() {
    let mut pool = pool();
    let _ = pool
        .on_report(ms(0), &report(1, 1, vec![says(A, 50, 45, 40)]))
        .unwrap();
    let (a, _) = rows(&mut pool, ms(0));
    assert_eq!(
        (a.waiting, a.running),
        (Some(2), Some(10)),
        "totals of before the first report say nothing"
    );
    // 5 sent, 3 started and 2 finished in the 100 ms since scrape and report.
    let _ = pool
        .on_report(ms(100), &report(1, 2, vec![says(A, 55, 48, 42)]))
        .unwrap();
    let (a, b) = rows(&mut pool, ms(150));
    assert_eq!((a.waiting, a.running), (Some(4), Some(11)));
    assert_eq!((b.waiting, b.running), (Some(2), Some(10)));
    assert_eq!(
        (a.age_ms, b.age_ms),
        (50, 50),
        "rows are true up to the report"
    );
    // The next scrape includes it all.
    pool.on_sample(
        ms(200),
        A,
        Sample {
            waiting: Some(1.0),
            running: Some(14.0),
            ..Sample::default()
        },
    );
    let (a, _) = rows(&mut pool, ms(200));
    assert_eq!((a.waiting, a.running), (Some(1), Some(14)));
    // 100 of this report's 200 ms are before that scrape.
    let _ = pool
        .on_report(ms(300), &report(1, 3, vec![says(A, 75, 48, 42)]))
        .unwrap();
    let (a, _) = rows(&mut pool, ms(300));
    assert_eq!((a.waiting, a.running), (Some(11), Some(14)));
}

/// Pickers estimate from a row's age what others have sent since, so the age is the mean age of the
/// reports.
#[test]
fn a_row_is_as_old_as_the_reports_on_average_and_never_older_than_its_scrape() {
    let mut pool = pool();
    let _ = pool.on_report(ms(20), &report(1, 1, vec![])).unwrap();
    let _ = pool.on_report(ms(100), &report(2, 1, vec![])).unwrap();
    let (a, _) = rows(&mut pool, ms(150));
    assert_eq!(a.age_ms, 90);
    pool.on_sample(
        ms(160),
        A,
        Sample {
            waiting: Some(2.0),
            running: Some(10.0),
            ..Sample::default()
        },
    );
    let (a, b) = rows(&mut pool, ms(170));
    assert_eq!((a.age_ms, b.age_ms), (10, 110));
    let _ = pool.on_report(ms(1_000), &report(1, 2, vec![])).unwrap();
    let (a, b) = rows(&mut pool, ms(1_000));
    // The proxy that decides nothing hides nothing.
    assert_eq!((a.age_ms, b.age_ms), (840, 899));
}

#[test]
fn flights_of_all_proxies_add_up_until_a_proxy_is_silent() {
    let mut pool = pool();
    let _ = pool
        .on_report(ms(0), &report(1, 1, vec![says(A, 5, 0, 0)]))
        .unwrap();
    let _ = pool
        .on_report(
            ms(9_000),
            &report(2, 1, vec![says(A, 3, 0, 1), says(B, 1, 0, 0)]),
        )
        .unwrap();
    let table = pool.table(ms(10_000));
    assert_eq!(table.deciders, Some(4));
    let flights: Vec<_> = table
        .endpoints
        .iter()
        .map(|row| (row.in_flight, row.pending_tokens))
        .collect();
    assert_eq!(flights, [(Some(7), Some(700)), (Some(1), Some(100))]);
    let (a, _) = rows(&mut pool, ms(15_001));
    assert_eq!(
        (a.in_flight, a.pending_tokens),
        (Some(2), Some(200)),
        "the first proxy is gone"
    );
    let table = pool.table(ms(60_000));
    assert_eq!((table.deciders, table.endpoints[0].in_flight), (None, None));
}

#[test]
fn a_proxy_that_claims_the_world_is_held_to_a_multiple_of_what_the_server_says() {
    let mut pool = pool();
    let huge = |n: u64| EndpointReport {
        seen: Vec::new(),
        address: A.into(),
        in_flight: 1_000_000,
        pending_tokens: 1_000_000_000,
        sent: n,
        started: 0,
        finished: 0,
        sent_tokens: n,
        pending: u32::MAX,
        failed: 0,
    };
    let _ = pool.on_report(ms(0), &report(9, 1, vec![huge(0)])).unwrap();
    let _ = pool
        .on_report(ms(50), &report(9, 2, vec![huge(u64::MAX)]))
        .unwrap();
    let _ = pool
        .on_report(ms(50), &report(1, 1, vec![says(A, 3, 3, 0)]))
        .unwrap();
    let (a, b) = rows(&mut pool, ms(50));
    // The server holds 12: at most 32 requests of one proxy count, plus the honest proxy's 3.
    assert_eq!(a.in_flight, Some(35));
    assert_eq!(
        a.waiting
            .zip(a.running)
            .map(|(waiting, running)| waiting + running),
        Some(12 + 32)
    );
    assert_eq!(
        (b.waiting, b.in_flight),
        (Some(2), Some(0)),
        "other rows are untouched"
    );
}

#[test]
fn delayed_copies_and_crowds_are_refused_without_a_trace() {
    let mut pool = pool();
    let _ = pool
        .on_report(ms(0), &report(1, 5, vec![says(A, 1, 0, 0)]))
        .unwrap();
    assert_eq!(
        pool.on_report(ms(1), &report(1, 5, vec![says(A, 9, 0, 0)])),
        Err(Refusal::Old)
    );
    let overtaken = report(1, 4, vec![says(A, 9, 0, 0)]);
    assert_eq!(pool.on_report(ms(1), &overtaken), Ok(Accepted::Late));
    assert_eq!(pool.on_report(ms(1), &overtaken), Err(Refusal::Old));
    for proxy in 2..=3 {
        let _ = pool
            .on_report(
                ms(1),
                &report(proxy, 1, vec![says(A, 1, 0, 0), says(B, 1, 0, 0)]),
            )
            .unwrap();
    }
    assert_eq!(
        pool.on_report(ms(1), &report(4, 1, vec![])),
        Err(Refusal::TooManyProxies)
    );
    let wide = vec![says(A, 1, 0, 0), says(B, 1, 0, 0)];
    assert_eq!(
        pool.on_report(ms(2), &report(1, 6, wide)),
        Err(Refusal::TooManyEndpoints)
    );
    let table = pool.table(ms(2));
    assert_eq!(
        (
            table.deciders,
            table.endpoints[0].in_flight,
            table.endpoints[1].in_flight
        ),
        (Some(6), Some(3), Some(2))
    );
    assert!(
        pool.on_report(ms(20_000), &report(4, 1, vec![])).is_ok(),
        "silent proxies leave room"
    );
}

#[test]
fn of_a_report_that_was_overtaken_counts_once_what_is_told_once() {
    let told = |sequence, decided, key, count, moved: &[(u64, u16)]| {
        let moved = moved.iter().map(|(key, endpoint)| Moved {
            key: *key,
            endpoint: *endpoint,
        });
        Report {
            decided,
            prefixes: vec![PrefixCount { key, count }],
            moved: moved.collect(),
            ..report(1, sequence, vec![says(A, decided, 0, 0), says(B, 0, 0, 0)])
        }
    };
    let first = told(1, 100, 1, 1, &[]);
    let overtaken = told(2, 150, 7, 40, &[(70, 0), (71, 0)]);
    let newest = told(3, 200, 8, 40, &[(70, 1)]);
    let mut tables = Vec::new();
    for order in [[&first, &overtaken, &newest], [&first, &newest, &overtaken]] {
        let mut pool = pool();
        for report in order {
            pool.on_report(ms(1), report).unwrap();
        }
        assert_eq!(pool.on_report(ms(1), &overtaken), Err(Refusal::Old));
        let table = pool.table(ms(1));
        let mut moved: Vec<_> = table
            .moved
            .iter()
            .flatten()
            .map(|one| (one.key, one.endpoint))
            .collect();
        moved.sort_unstable();
        let hot: Vec<_> = table
            .heat
            .iter()
            .flatten()
            .map(|hot| (hot.key, hot.share_ppm / 1_000))
            .collect();
        tables.push((table.endpoints[0].in_flight, hot, moved));
    }
    assert_eq!(tables[0].1, [(7, 400), (8, 400)]);
    assert_eq!(tables[0].2, [(70, 1), (71, 0)]);
    assert_eq!(tables[0], tables[1]);
}

#[test]
fn much_new_prefill_is_urgent() {
    let mut pool = pool();
    let tokens = |sequence, pending_tokens| {
        report(
            1,
            sequence,
            vec![EndpointReport {
                pending_tokens,
                in_flight: 1,
                ..says(A, 1, 0, 0)
            }],
        )
    };
    for (at, sequence, pending_tokens, accepted) in [
        (0, 1, 0, Accepted::Newest),
        (10, 2, 500, Accepted::Newest),
        (20, 3, 20_000, Accepted::Urgent),
    ] {
        let report = tokens(sequence, pending_tokens);
        assert_eq!(pool.on_report(ms(at), &report), Ok(accepted), "{sequence}");
    }
}

#[test]
fn requests_that_no_proxy_sent_are_work_also_where_all_that_proxies_send_is_cached() {
    let mut pool = pool();
    for second in 0..20_u64 {
        let done = 50.0 * second as f64;
        let counters = Counters {
            prompt_tokens: Some(2_000.0 * done),
            cached_tokens: Some(1_999.0 * done),
            ttft_s: Some(SumCount {
                sum: 0.05 * done,
                count: done,
            }),
            ..Counters::default()
        };
        let waiting = if second == 19 { 40.0 } else { 0.0 };
        for (address, waiting) in [(A, waiting), (B, 0.0)] {
            let sample = Sample {
                waiting: Some(waiting),
                running: Some(1.0),
                counters,
                ..Sample::default()
            };
            pool.on_sample(ms(1_000 * second), address, sample);
        }
    }
    pool.on_report(ms(19_000), &report(1, 1, vec![says(A, 0, 0, 0)]))
        .unwrap();
    let table = pool.table(ms(19_000));
    let (a, b) = (&table.endpoints[0], &table.endpoints[1]);
    let uncached = table.demand.uncached_tokens.unwrap();
    assert!(uncached < 5.0, "{uncached}");
    let speed = table.classes[0].prefill_tokens_per_s.unwrap();
    let least_ms = 1_000.0 * 40.0 * 500.0 / speed;
    let more_ms = a.wait_ms.unwrap() - b.wait_ms.unwrap();
    assert!(more_ms as f32 >= least_ms, "{more_ms} of {least_ms}");
}

#[test]
fn the_arrival_rate_follows_what_proxies_decide() {
    let mut pool = pool();
    for k in 0..100u64 {
        let decided = Report {
            decided: 5 * k,
            ..report(1, k + 1, vec![])
        };
        let _ = pool.on_report(ms(100 * k), &decided).unwrap();
    }
    let rate = pool.table(ms(9_900)).demand.arrival_rate.unwrap();
    assert!((rate - 50.0).abs() < 0.01, "{rate}");
}
