//! Tests a host that answers hostcalls with any status at any moment. Requests go on, nothing
//! traps, nothing leaks.

use std::collections::BTreeSet;
use std::time::Duration;

use trimtab_wasmhost::{Options, ScriptedProxy, Status};

use crate::support::{ask, chat, config, first_host, in_flight, module, ready, reported, table};

/// The statuses of the ABI, and some that it does not have.
const STATUSES: [u32; 17] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    255,
    0x7fff_ffff,
    u32::MAX,
];

/// Runs one request from its headers to its end, then the ticks of the root context.
fn live_through(proxy: &mut ScriptedProxy, what: &str) {
    let body = chat(400);
    let (first, rest) = body.as_bytes().split_at(100);
    let exchange = proxy
        .vm()
        .request()
        .header("content-length", body.len().to_string())
        .body_chunk(first)
        .body(rest);
    let stream = exchange.stream;
    assert!(
        exchange.request_ended && !exchange.local_reply,
        "{what}: the request is stuck"
    );
    assert_eq!(exchange.request_body, body.as_bytes(), "{what}");
    proxy
        .vm()
        .set_attribute(stream, "upstream.address", "10.0.0.2:8000");
    let exchange = exchange.finish(proxy.vm());
    assert_eq!(exchange.response_body, b"firstlast", "{what}");
    proxy.run_for(Duration::from_millis(300));
    assert!(
        proxy.failures().is_empty(),
        "{what}: {:?}",
        proxy.failures()
    );
}

/// Checks that the filter works again after the faults have ended.
fn is_whole(proxy: &mut ScriptedProxy, what: &str) {
    for worker in proxy.all() {
        worker.script.clear_faults();
    }
    let exchange = ask(proxy.vm());
    assert!(first_host(&exchange).is_some(), "{what}: no longer places");
    assert_eq!(in_flight(&reported(proxy)), 1, "{what}: leaks");
    exchange.finish(proxy.vm());
    assert_eq!(proxy.vm().open_streams(), 0, "{what}");
}

/// Returns the hostcalls that a life of the filter makes.
fn calls_made() -> BTreeSet<&'static str> {
    let mut proxy =
        ScriptedProxy::start(module(), &config(), 1, Options::default()).expect("starts");
    for worker in proxy.all() {
        worker.script.record();
    }
    assert!(proxy.deliver(&table().encode()));
    live_through(&mut proxy, "no fault");
    proxy.run_for(Duration::from_secs(2));
    proxy
        .all()
        .flat_map(|worker| worker.script.take_recorded())
        .map(|own| own.call)
        .collect()
}

#[test]
fn every_hostcall_answering_every_status_all_the_time_costs_no_request() {
    let calls = calls_made();
    assert!(calls.len() >= 10, "{calls:?}");
    let mut proxy = ready();
    for call in &calls {
        for status in STATUSES {
            let what = format!("every {call} answers {status}");
            for worker in proxy.all() {
                worker.script.every(call, Status(status));
            }
            live_through(&mut proxy, &what);
            for worker in proxy.all() {
                worker.script.clear_faults();
            }
        }
        is_whole(&mut proxy, call);
    }
}

#[test]
fn any_single_hostcall_of_a_request_answering_any_status_costs_no_request() {
    let mut proxy = ready();
    proxy.workers[0].script.record();
    live_through(&mut proxy, "no fault");
    let positions = proxy.workers[0].script.take_recorded().len();
    assert!(positions >= 8, "{positions}");
    for position in 1..=positions {
        for status in STATUSES {
            proxy.workers[0].script.nth_of_any(position, Status(status));
            live_through(&mut proxy, &format!("hostcall {position} answers {status}"));
            proxy.workers[0].script.clear_faults();
        }
    }
    is_whole(&mut proxy, "single faults");
}

#[test]
fn any_single_hostcall_of_the_sync_answering_any_status_ends_in_a_table() {
    for status in STATUSES {
        for position in (1..=40).step_by(3) {
            let mut proxy =
                ScriptedProxy::start(module(), &config(), 1, Options::default()).expect("starts");
            let what = format!("hostcall {position} of the sync answers {status}");
            proxy.main.script.record();
            proxy.main.script.nth_of_any(position, Status(status));
            // The fault may destroy the first answer. One of the next must succeed.
            let placed = (1..=3).any(|sequence| {
                assert!(
                    proxy.deliver(&crate::support::table_with(sequence, &[0, 0, 0]).encode()),
                    "{what}: no sync {:?}",
                    proxy
                        .main
                        .script
                        .take_recorded()
                        .iter()
                        .take(40)
                        .map(|own| format!("{}={}", own.call, own.status.0))
                        .collect::<Vec<_>>()
                );
                first_host(&ask(proxy.vm())).is_some()
            });
            assert!(placed, "{what}: no table arrives");
            assert!(
                proxy.failures().is_empty(),
                "{what}: {:?}",
                proxy.failures()
            );
        }
    }
}

#[test]
fn any_hostcall_of_the_configuration_answering_any_status_never_traps() {
    for status in STATUSES {
        for position in 1..=12 {
            let script = trimtab_wasmhost::Script::new();
            script.nth_of_any(position, Status(status));
            let shared = trimtab_wasmhost::Shared::new();
            let mut vm = trimtab_wasmhost::Vm::new(module(), &shared, script, Options::default())
                .expect("links");
            assert!(
                vm.configure(config().as_bytes()).is_ok(),
                "hostcall {position} answers {status}: {:?}",
                vm.failure()
            );
        }
    }
}

#[test]
fn failing_hostcalls_are_counted_by_name() {
    let mut proxy = ready();
    proxy.workers[0]
        .script
        .every("proxy_get_buffer_bytes", Status::INTERNAL_FAILURE);
    live_through(&mut proxy, "no body");
    is_whole(&mut proxy, "no body");
    assert!(
        crate::support::counter(
            &proxy,
            "trimtab_host_errors_total",
            "call",
            "proxy_get_buffer_bytes"
        ) > 0,
        "{:?}",
        proxy.shared.all_metrics()
    );
}
