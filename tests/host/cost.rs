//! Tests the memory of the filter over many requests, and prints the time of one. Times are not
//! checked, because wasmtime is not V8 and machines differ.

use std::time::{Duration, Instant};

use trimtab_wasmhost::{Limits, ready_filter};

use crate::support::{ask, chat, compile, config, first_host, ready, table_with};

#[test]
fn memory_does_not_grow_over_100_000_requests() {
    let mut proxy = ready();
    let round = |proxy: &mut trimtab_wasmhost::ScriptedProxy, requests: usize| {
        for number in 0..requests {
            let body = format!(
                r#"{{"model": "m{number}", "messages": [{{"role": "user", "content": "question {number}"}}]}}"#
            );
            let exchange = proxy
                .vm()
                .request()
                .header("x-session", number.to_string())
                .body(body);
            assert!(first_host(&exchange).is_some());
            exchange.finish(proxy.vm());
            if number % 1_000 == 0 {
                proxy.run_for(Duration::from_millis(100));
            }
        }
    };
    round(&mut proxy, 5_000);
    let before = proxy.vm().memory_bytes();
    round(&mut proxy, 95_000);
    let after = proxy.vm().memory_bytes();
    println!("memory of the VM: {before} bytes after 5,000 requests, {after} after 100,000");
    assert_eq!(before, after);
    assert!(proxy.failures().is_empty());
}

#[test]
fn memory_does_not_grow_over_1_000_tables() {
    let mut proxy = ready();
    let waits: Vec<u32> = (0..200).collect();
    let mut sizes = Vec::new();
    for sequence in 2..1_000 {
        assert!(proxy.deliver(&table_with(sequence, &waits).encode()));
        sizes.push(proxy.all().map(|worker| worker.vm.memory_bytes()).max());
    }
    assert_eq!(sizes.get(100), sizes.last());
}

#[test]
fn cost_of_a_request_in_the_vm() {
    let module = compile(Limits {
        fuel_per_callback: None,
        ..Limits::default()
    });
    for endpoints in [3, 100, 200] {
        let waits: Vec<u32> = (0..endpoints).map(|number| number % 50).collect();
        let mut proxy =
            ready_filter(&module, &config(), &table_with(1, &waits).encode()).expect("ready");
        for body in [chat(500), chat(2_000), chat(16_000)] {
            let mut spent_us = Vec::new();
            for _ in 0..300 {
                let started = Instant::now();
                let exchange = proxy.vm().request().body(&body);
                spent_us.push(started.elapsed().as_micros());
                assert!(first_host(&exchange).is_some());
                exchange.finish(proxy.vm());
            }
            spent_us.sort_unstable();
            println!(
                "{endpoints} endpoints, body of {} bytes: headers and body callbacks p50 {} us, p99 {} us",
                body.len(),
                spent_us[150],
                spent_us[297]
            );
        }
    }
    let mut proxy =
        ready_filter(&module, &config(), &table_with(1, &[0, 0, 0]).encode()).expect("ready");
    let (calls, requests) = (proxy.workers[0].script.count_all(), 100);
    for _ in 0..requests {
        ask(proxy.vm()).finish(proxy.vm());
    }
    println!(
        "hostcalls per request: {}",
        (proxy.workers[0].script.count_all() - calls) / requests
    );
}
