//! Servers whose page answers, but whose counters stand still.

use crate::{Counters, EndpointSpec, Pool, PoolConfig, Sample};
use std::time::Duration;
use trimtab_loadtable::{EndpointReport, Report, State};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const A: &str = "10.0.0.1:8000";

/// The state after 4 s of pages that generate `tokens_per_page` each, with a proxy that has
/// `in_flight` requests there.
fn state(tokens_per_page: f64, in_flight: u32) -> State {
    state_with(tokens_per_page, 3.0, (in_flight, in_flight))
}

/// As `state`, with `running` requests, and `pending` of those in flight without a first byte.
fn state_with(tokens_per_page: f64, running: f64, (in_flight, pending): (u32, u32)) -> State {
    let mut pool = Pool::new(PoolConfig::new("chat", 7, [1; 16]));
    let spec = EndpointSpec {
        address: A.into(),
        ..EndpointSpec::default()
    };
    let _ = pool.set_endpoints(Duration::ZERO, vec![spec]);
    let mut table = pool.table(Duration::ZERO);
    for step in 0..=20_u64 {
        let now = Duration::from_millis(200 * step);
        let sample = Sample {
            waiting: Some(0.0),
            running: Some(running),
            counters: Counters {
                generation_tokens: Some(tokens_per_page * step as f64),
                ..Counters::default()
            },
            ..Sample::default()
        };
        pool.on_sample(now, A, sample);
        let endpoint = EndpointReport {
            address: A.into(),
            in_flight,
            pending,
            sent: u64::from(in_flight),
            ..EndpointReport::default()
        };
        let report = Report {
            pool: "chat".into(),
            proxy: 1,
            sequence: step + 1,
            workers: 1,
            endpoints: vec![endpoint],
            ..Report::default()
        };
        pool.on_report(now, &report).unwrap();
        table = pool.table(now);
    }
    table.endpoints[0].state
}

#[test]
fn who_counts_nothing_while_requests_are_there_is_suspect_and_nobody_else() {
    assert_eq!(state(0.0, 2), State::Suspect);
    assert_eq!(state(10.0, 2), State::Ready, "it generates");
    assert_eq!(state(0.0, 0), State::Ready, "nobody waits for it");
}

#[test]
fn clients_that_do_not_read_are_no_sign_of_a_server_that_hangs() {
    assert_eq!(state_with(0.0, 0.0, (2, 0)), State::Ready);
    assert_eq!(
        state_with(0.0, 0.0, (2, 1)),
        State::Suspect,
        "one waits for it"
    );
    assert_eq!(state_with(0.0, 1.0, (2, 0)), State::Suspect, "it says so");
}
