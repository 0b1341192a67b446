//! Queues for KV blocks.

use crate::{Counters, EndpointSpec, Pool, PoolConfig, Sample};
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
    // Six at two per second are three seconds, and the running ones on top of that.
    assert!((3_000..3_400).contains(&tight), "{tight}");
    assert!(roomy < 1_000, "{roomy}");
}

#[test]
fn an_endpoint_with_few_blocks_left_counts_as_busy_before_requests_queue_for_them() {
    const B: &str = "10.0.0.2:8000";
    let wait_ms = |kv_used: f64| {
        let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
        let spec = |address: &str| EndpointSpec {
            address: address.into(),
            ..EndpointSpec::default()
        };
        let _ = pool.set_endpoints(Duration::ZERO, vec![spec(A), spec(B)]);
        for (address, running, kv_used) in [(A, 90.0, 0.3), (B, 10.0, kv_used)] {
            let sample = Sample {
                waiting: Some(0.0),
                running: Some(running),
                kv_used: Some(kv_used),
                ..Sample::default()
            };
            pool.on_sample(Duration::ZERO, address, sample);
        }
        let rows = pool.table(Duration::ZERO).endpoints;
        (rows[0].wait_ms.unwrap(), rows[1].wait_ms.unwrap())
    };
    let (busy, roomy) = wait_ms(0.05);
    // By what runs: ten against ninety.
    assert!(busy.abs_diff(9 * roomy) < 10, "{busy} and {roomy}");
    // The average of ninety and ten, once six tenths are in use.
    let (busy, full) = wait_ms(0.6);
    assert!(busy.abs_diff(full * 90 / 50) < 10, "{busy} and {full}");
}
