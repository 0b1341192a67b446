//! Queues for KV blocks and batch slots.

use crate::{Counters, EndpointSpec, Pool, PoolConfig, Sample, SumCount};
use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: &str = "10.0.0.1:8000";

#[test]
fn a_queue_for_memory_moves_as_requests_end_and_not_at_the_speed_of_prefill() {
    let wait_ms = |kv_used: f64| {
        let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
        let spec = EndpointSpec {
            address: A.into(),
            ..EndpointSpec::default()
        };
        let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
        // Two requests end each second, and six wait all the time.
        for second in 0..30 {
            let sample = Sample {
                waiting: Some(6.0),
                running: Some(10.0),
                kv_used: Some(kv_used),
                counters: Counters {
                    finished: Some(2.0 * second as f64),
                    ..Counters::default()
                },
                ..Sample::default()
            };
            pool.on_sample(Duration::from_secs(second), A, sample);
        }
        let table = pool.table(Duration::from_secs(29));
        table.endpoints[0].wait_ms.unwrap()
    };
    let (roomy, tight) = (wait_ms(0.5), wait_ms(0.95));
    // Six at two per second take three seconds.
    assert!((3_000..3_400).contains(&tight), "{tight}");
    assert!(roomy < 1_000, "{roomy}");
}

/// The row of an endpoint after this many scrapes. Each shows `sample` with the totals that
/// `counters` gives.
fn after(
    scrapes: u64,
    sample: &Sample,
    counters: impl Fn(f64) -> Counters,
) -> trimtab_loadtable::Endpoint {
    let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
    let spec = EndpointSpec {
        address: A.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
    for scrape in 0..scrapes {
        let sample = Sample {
            counters: counters(scrape as f64),
            ..sample.clone()
        };
        pool.on_sample(Duration::from_millis(200 * scrape), A, sample);
    }
    let table = pool.table(Duration::from_millis(200 * (scrapes - 1)));
    table.endpoints[0].clone()
}

/// One request ends per second. A step generates a token for each of 16 running requests, and
/// nothing is prefilled.
fn decoding(scrape: f64) -> Counters {
    Counters {
        prompt_tokens: Some(1_000.0),
        generation_tokens: Some(160.0 * scrape),
        finished: Some((scrape / 5.0).floor()),
        step_tokens: Some(SumCount {
            sum: 160.0 * scrape,
            count: 10.0 * scrape,
        }),
        ..Counters::default()
    }
}

#[test]
fn a_queue_behind_a_full_batch_that_only_decodes_shows_the_limit_and_moves_as_requests_end() {
    let full = Sample {
        waiting: Some(4.0),
        running: Some(16.0),
        kv_used: Some(0.2),
        ..Sample::default()
    };
    let row = after(51, &full, decoding);
    assert_eq!(row.batch_limit, Some(16));
    assert!(
        (800..=1_200).contains(&row.ends_per_1000_s.unwrap()),
        "{:?}",
        row.ends_per_1000_s
    );
    let wait_ms = row.wait_ms.unwrap();
    assert!(
        (3_300..=5_000).contains(&wait_ms),
        "four wait, one ends per second: {wait_ms}"
    );

    // Without a queue nothing shows the limit.
    let roomy = Sample {
        waiting: Some(0.0),
        ..full.clone()
    };
    assert_eq!(after(51, &roomy, decoding).batch_limit, None);
    // Where prompts are prefilled meanwhile, requests may wait for that.
    let prefilling = |scrape: f64| Counters {
        prompt_tokens: Some(2_000.0 * scrape),
        ..decoding(scrape)
    };
    assert_eq!(after(51, &full, prefilling).batch_limit, None);
    // The limit on the page takes precedence.
    let said = Sample {
        batch_limit: Some(64.0),
        ..full
    };
    assert_eq!(after(51, &said, decoding).batch_limit, Some(64));
}

#[test]
fn a_page_that_stands_still_in_a_long_step_shows_no_limit_and_a_limit_is_not_forgotten_when_fewer_run()
 {
    let queue = |running: f64| Sample {
        waiting: Some(2.0),
        running: Some(running),
        ..Sample::default()
    };
    assert_eq!(after(5, &queue(2.0), |_| decoding(0.0)).batch_limit, None);
    // Four run while the batch is full, then two: one request that should follow is held up for a
    // moment.
    let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
    let spec = EndpointSpec {
        address: A.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
    let (mut at, mut steps, mut tokens) = (Duration::ZERO, 0.0, 0.0);
    let mut limit = |running: f64| {
        for _ in 0..4 {
            at += Duration::from_millis(200);
            steps += 10.0;
            tokens += 10.0 * running;
            let counters = Counters {
                prompt_tokens: Some(1_000.0),
                step_tokens: Some(SumCount {
                    sum: tokens,
                    count: steps,
                }),
                ..Counters::default()
            };
            let sample = Sample {
                counters,
                ..queue(running)
            };
            pool.on_sample(at, A, sample);
        }
        pool.table(at).endpoints[0].batch_limit
    };
    assert_eq!(limit(4.0), Some(4));
    assert_eq!(limit(2.0), Some(4));
    assert_eq!(limit(6.0), Some(6), "more ran than was thought to fit");
}
