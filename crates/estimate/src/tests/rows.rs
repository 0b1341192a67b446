//! Rows, compared with the formulas worked out by hand.

use crate::{Counters, EndpointSpec, Missed, Pool, PoolConfig, Prior, Sample, SumCount, cost};
use std::time::Duration;
use trimtab_loadtable::{Endpoint, State, Table};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: &str = "10.0.0.1:8000";
const B: &str = "10.0.0.2:8000";

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn pool(addresses: &[&str]) -> Pool {
    let mut config = PoolConfig::new("chat", 7, [1; 16]);
    config.priors.insert(
        "gpu".into(),
        Prior {
            prefill_tokens_per_s: 10_000.0,
            itl_s_per_sequence: 1e-4,
        },
    );
    let mut pool = Pool::new(config);
    assert!(
        pool.set_endpoints(
            ms(0),
            addresses.iter().map(|address| spec(address)).collect()
        )
        .is_empty()
    );
    pool
}

fn spec(address: &str) -> EndpointSpec {
    EndpointSpec {
        address: address.into(),
        class: "gpu".into(),
        ..EndpointSpec::default()
    }
}

pub(super) fn load(waiting: f64, running: f64) -> Sample {
    Sample {
        waiting: Some(waiting),
        running: Some(running),
        ..Sample::default()
    }
}

/// Totals after `n` requests of 2000 prompt tokens, half of them cached, and 100 output tokens.
fn served(n: f64) -> Counters {
    Counters {
        prompt_tokens: Some(2_000.0 * n),
        cached_tokens: Some(1_000.0 * n),
        generation_tokens: Some(100.0 * n),
        finished: Some(n),
        ttft_s: Some(SumCount {
            sum: 0.2 * n,
            count: n,
        }),
        ..Counters::default()
    }
}

pub(super) fn row<'t>(table: &'t Table, address: &str) -> &'t Endpoint {
    table.check().expect("a table always passes its own check");
    table
        .endpoints
        .iter()
        .find(|endpoint| endpoint.address == address)
        .expect("listed")
}

#[test]
fn the_wait_is_the_queue_in_seconds_and_what_runs_is_no_part_of_it() {
    let mut pool = pool(&[A]);
    pool.on_sample(
        ms(0),
        A,
        Sample {
            counters: served(0.0),
            ..load(0.0, 0.0)
        },
    );
    pool.on_sample(
        ms(1000),
        A,
        Sample {
            counters: served(10.0),
            ..load(4.0, 20.0)
        },
    );
    let table = pool.table(ms(1000));
    assert_eq!(table.demand.uncached_tokens, Some(1_000.0));
    assert_eq!(table.demand.output_tokens, Some(100.0));
    // After one second 10 requests have ended, and 24 more are in the engine.
    assert_eq!(table.demand.arrival_rate, Some(34.0));
    // 4 * 1000/10000
    let expected_s = 4.0 * cost::prefill_s(1_000.0, 10_000.0);
    assert!((expected_s - 0.4).abs() < 1e-12);
    assert_eq!(row(&table, A).wait_ms, Some(400));
    assert_eq!(
        (row(&table, A).waiting, row(&table, A).running),
        (Some(4), Some(20))
    );
}

#[test]
fn full_steps_add_the_residual_of_one_prefill() {
    let mut pool = pool(&[A]);
    let steps = |n: f64, tokens: f64| Counters {
        step_tokens: Some(SumCount {
            sum: tokens,
            count: n,
        }),
        ..served(0.0)
    };
    pool.on_sample(
        ms(0),
        A,
        Sample {
            counters: steps(0.0, 0.0),
            ..load(0.0, 0.0)
        },
    );
    pool.on_sample(
        ms(200),
        A,
        Sample {
            counters: steps(2.0, 4_000.0),
            ..load(0.0, 0.0)
        },
    );
    let table = pool.table(ms(200));
    assert_eq!(row(&table, A).prefill_busy, Some(true));
    // Unknown prompts count 512 tokens, exponentially distributed: the mean residual is the mean.
    assert_eq!(row(&table, A).wait_ms, Some(51));
    pool.on_sample(
        ms(400),
        A,
        Sample {
            counters: steps(22.0, 4_200.0),
            ..load(0.0, 0.0)
        },
    );
    let table = pool.table(ms(400));
    assert_eq!(
        (row(&table, A).prefill_busy, row(&table, A).wait_ms),
        (Some(false), Some(0))
    );
}

#[test]
fn a_missing_queue_or_batch_leaves_no_wait_rather_than_a_short_one() {
    for sample in [
        Sample {
            waiting: None,
            ..load(0.0, 3.0)
        },
        Sample {
            running: None,
            ..load(3.0, 0.0)
        },
        Sample {
            waiting: Some(f64::NAN),
            ..load(0.0, 3.0)
        },
        Sample {
            running: Some(-1.0),
            ..load(3.0, 0.0)
        },
        Sample::default(),
    ] {
        let mut pool = pool(&[A]);
        pool.on_sample(ms(0), A, sample.clone());
        let table = pool.table(ms(10));
        assert_eq!(row(&table, A).wait_ms, None, "{sample:?}");
        assert_eq!(row(&table, A).prefill_busy, None);
    }
}

#[test]
fn a_server_that_counts_queued_tokens_is_believed_over_the_mean() {
    let mut pool = pool(&[A]);
    pool.on_sample(
        ms(0),
        A,
        Sample {
            queued_tokens: Some(30_000.0),
            ..load(2.0, 0.0)
        },
    );
    assert_eq!(row(&pool.table(ms(0)), A).wait_ms, Some(3_000));
}

#[test]
fn a_row_is_suspect_until_scraped_after_failures_and_when_old() {
    let mut pool = pool(&[A, B]);
    assert_eq!(row(&pool.table(ms(0)), A).state, State::Suspect);
    pool.on_sample(ms(0), A, load(0.0, 0.0));
    assert_eq!(row(&pool.table(ms(10)), A).state, State::Ready);
    for failures in 1..=3 {
        pool.on_scrape_failed(ms(15), A, Missed::Unreachable);
        let expected = if failures < 3 {
            State::Ready
        } else {
            State::Suspect
        };
        assert_eq!(row(&pool.table(ms(20)), A).state, expected);
    }
    pool.on_sample(ms(30), A, load(0.0, 0.0));
    assert_eq!(row(&pool.table(ms(30)), A).state, State::Ready);
    let late = pool.table(ms(2_031));
    assert_eq!(
        (row(&late, A).state, row(&late, A).age_ms),
        (State::Suspect, 2_001)
    );
    let draining = EndpointSpec {
        draining: true,
        ..spec(A)
    };
    let _ = pool.set_endpoints(ms(2_100), vec![draining]);
    let table = pool.table(ms(2_100));
    assert_eq!(
        (row(&table, A).state, table.endpoints.len()),
        (State::Draining, 1)
    );
}

#[test]
fn an_engine_that_sleeps_is_as_one_that_drains_until_it_is_awake() {
    let mut pool = pool(&[A, B]);
    for (at, awake, expected) in [
        (0, Some(true), State::Ready),
        (200, Some(false), State::Draining),
        (400, Some(true), State::Ready),
        (600, None, State::Ready),
    ] {
        let sample = Sample {
            awake,
            ..load(0.0, 0.0)
        };
        pool.on_sample(ms(at), A, sample);
        assert_eq!(row(&pool.table(ms(at)), A).state, expected);
    }
}

#[test]
fn pages_of_several_processes_by_turns_show_the_work_of_all_and_no_more() {
    for (processes, draw) in [(2, false), (2, true), (4, true)] {
        let mut pool = pool(&[A]);
        let mut below = super::draws(3);
        let mut last = 0.0;
        // Each process has served some thousands before, and ends five requests per second.
        for page in 0..600 {
            let now = 200 * page;
            let process = match draw {
                true => below(processes),
                false => page % processes,
            };
            let requests = (3_000 * process + page) as f64;
            let sample = Sample {
                counters: served(requests),
                ..load(0.0, 2.0)
            };
            pool.on_sample(ms(now), A, sample);
            if now >= 60_000 {
                let demand = pool.table(ms(now)).demand;
                last = f64::from(demand.arrival_rate.unwrap());
                let expected = 5.0 * processes as f64;
                assert!((last / expected - 1.0).abs() < 0.4, "{last} for {expected}");
                let uncached = demand.uncached_tokens.unwrap();
                assert!((900.0..1_100.0).contains(&uncached), "{uncached}");
            }
        }
        assert!(last > 0.0);
        let running = row(&pool.table(ms(120_000)), A).running;
        assert_eq!(running, Some(2 * u32::try_from(processes).unwrap()));
    }
}

#[test]
fn a_restart_is_not_taken_for_work() {
    let mut pool = pool(&[A]);
    pool.on_sample(
        ms(0),
        A,
        Sample {
            counters: served(1_000.0),
            ..load(0.0, 5.0)
        },
    );
    pool.on_sample(
        ms(1000),
        A,
        Sample {
            counters: served(1_010.0),
            ..load(0.0, 5.0)
        },
    );
    let before = pool.table(ms(1000)).demand;
    pool.on_sample(
        ms(2000),
        A,
        Sample {
            counters: served(3.0),
            ..load(0.0, 0.0)
        },
    );
    let after = pool.table(ms(2000)).demand;
    assert_eq!(
        before, after,
        "the interval across the restart says nothing"
    );
    // The same start time and a larger counter make an ordinary interval. Another start time means
    // a restart.
    let started = |at: f64, n: f64| Sample {
        start_time_s: Some(at),
        counters: served(n),
        ..load(0.0, 0.0)
    };
    pool.on_sample(ms(3000), A, started(5.0, 4.0));
    pool.on_sample(ms(4000), A, started(500.0, 1_000_000.0));
    assert_eq!(pool.table(ms(4000)).demand.uncached_tokens, Some(1_000.0));
}

#[test]
fn one_lying_endpoint_moves_the_mean_by_its_weight_and_no_more() {
    let addresses = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"];
    let mut pool = pool(&addresses);
    for (t, n) in [(0, 0.0), (1000, 100.0)] {
        for address in addresses {
            let mut counters = served(n);
            if address == addresses[0] {
                counters.prompt_tokens = Some(4e6 * n / 100.0);
            }
            pool.on_sample(
                ms(t),
                address,
                Sample {
                    counters,
                    ..load(0.0, 0.0)
                },
            );
        }
    }
    // Its own mean of 39,000 is cut at 32 medians: (32,000 + 3 * 1,000) / 4.
    assert_eq!(pool.table(ms(1000)).demand.uncached_tokens, Some(8_750.0));
}

#[test]
fn what_a_table_cannot_carry_is_left_out_by_name() {
    let mut pool = pool(&[]);
    let refused = pool.set_endpoints(
        ms(0),
        vec![
            spec("10.0.0.1:0"),
            spec("host:80"),
            spec(A),
            spec(A),
            EndpointSpec {
                zone: "z\n".into(),
                ..spec(B)
            },
        ],
    );
    assert_eq!(refused, ["10.0.0.1:0", "host:80", A]);
    let table = pool.table(ms(0));
    assert_eq!(&*row(&table, B).zone, "");
    let many = (0..12_000).map(|n| EndpointSpec {
        address: format!("10.0.{}.{}:80", n / 250, n % 250),
        class: format!("class {n}"),
        zone: format!("zone {n}"),
        ..EndpointSpec::default()
    });
    assert_eq!(pool.set_endpoints(ms(0), many.collect()).len(), 2_000);
    assert!(pool.table(ms(0)).check().is_ok());
}

#[test]
fn sequences_count_up_and_the_epoch_stays() {
    let mut pool = pool(&[A]);
    let versions: Vec<_> = (0..3).map(|_| pool.table(ms(0)).version).collect();
    assert!(
        versions
            .iter()
            .zip(1..)
            .all(|(version, n)| version.epoch == 7 && version.sequence == n)
    );
}
