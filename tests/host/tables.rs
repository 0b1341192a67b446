//! Tests tables: delivered, shared, refused, old.

use std::time::Duration;

use trimtab_loadtable::{Table, Version};
use trimtab_wasmhost::{CallAnswer, ScriptedProxy};

use crate::support::{
    ENDPOINTS, ask, config, counter, first_host, metric, only, ready, ready_with, reason, started,
    table, table_with,
};

/// Answers the next sync of the main thread with `bytes` and lets the workers look.
fn answer(proxy: &mut ScriptedProxy, bytes: &[u8]) {
    assert!(proxy.deliver(bytes), "no sync");
}

/// Returns the hosts of many requests. Each ends before the next.
fn hosts(proxy: &mut ScriptedProxy, requests: usize) -> Vec<Option<String>> {
    let mut hosts = Vec::new();
    for _ in 0..requests {
        let exchange = ask(proxy.vm());
        hosts.push(first_host(&exchange));
        exchange.finish(proxy.vm());
    }
    hosts
}

#[test]
fn a_newer_table_replaces_the_older() {
    let mut proxy = ready();
    answer(&mut proxy, &only(2, &[2]).encode());
    for host in hosts(&mut proxy, 20) {
        assert_eq!(host.as_deref(), Some(ENDPOINTS[2]));
    }
    assert_eq!(counter(&proxy, "trimtab_syncs_total", "answer", "table"), 2);
}

#[test]
fn a_table_that_two_workers_asked_for_at_once_is_no_refusal() {
    let mut proxy = ready();
    answer(&mut proxy, &table().encode());
    assert_eq!(
        counter(&proxy, "trimtab_syncs_total", "answer", "same_table"),
        1
    );
    let refused = |reason| counter(&proxy, "trimtab_table_refusals_total", "reason", reason);
    assert_eq!(refused("not_newer"), 0);
    let log = proxy.main.script.log_text(trimtab_wasmhost::LogLevel::Warn);
    assert_eq!(log, "");
    answer(&mut proxy, &only(2, &[2]).encode());
    assert_eq!(hosts(&mut proxy, 1)[0].as_deref(), Some(ENDPOINTS[2]));
}

#[test]
fn every_bad_table_is_refused_under_its_reason_and_the_last_good_one_stays() {
    let good = only(5, &[2]).encode();
    let other_pool = Table {
        pool: "code".into(),
        ..only(5, &[2])
    }
    .encode();
    let older = only(1, &[2]).encode();
    let newer_format = with_format(&good, 2);
    let cases: [(&str, &[u8]); 7] = [
        ("format", b"not a table at all"),
        ("malformed", &[0x08, 1, 0xff, 0xff]),
        ("malformed", &good[..good.len() - 3]),
        ("format", &newer_format),
        ("other_pool", &other_pool),
        ("not_newer", &older),
        ("too_large", &vec![0; 3 << 20]),
    ];
    for (label, bytes) in cases {
        let mut proxy = ready_with(&config(), &only(2, &[0, 1]));
        answer(&mut proxy, bytes);
        assert_eq!(
            counter(&proxy, "trimtab_table_refusals_total", "reason", label),
            1,
            "{label}: {:?}",
            proxy.shared.all_metrics()
        );
        for host in hosts(&mut proxy, 5) {
            assert_ne!(
                host.as_deref(),
                Some(ENDPOINTS[2]),
                "{label}: the refused table is in use"
            );
            assert!(host.is_some(), "{label}: the good table is lost");
        }
        assert!(proxy.failures().is_empty(), "{label}");
        // The next good table is adopted.
        answer(&mut proxy, &only(9, &[2]).encode());
        assert_eq!(
            hosts(&mut proxy, 1)[0].as_deref(),
            Some(ENDPOINTS[2]),
            "{label}"
        );
    }
}

/// Returns the encoded table with another number in field 1, `format`. It is the first field.
fn with_format(bytes: &[u8], format: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    assert_eq!(&bytes[..2], [0x08, 1], "field 1, varint, format 1");
    bytes[1] = format;
    bytes
}

#[test]
fn a_table_cut_at_any_byte_or_with_any_byte_changed_never_traps() {
    let good = table_with(5, &[0, 0, 20_000]).encode();
    let mut proxy = ready();
    for place in 0..good.len() {
        answer(&mut proxy, &good[..place]);
        let mut changed = good.clone();
        changed[place] ^= 0x55;
        answer(&mut proxy, &changed);
        let exchange = ask(proxy.vm());
        assert!(exchange.request_ended, "byte {place}");
        exchange.finish(proxy.vm());
        assert!(
            proxy.failures().is_empty(),
            "byte {place}: {:?}",
            proxy.failures()
        );
    }
}

#[test]
fn bytes_of_another_writer_under_our_keys_are_refused_by_every_worker() {
    let mut proxy = ready();
    let keys = proxy.shared.keys();
    assert!(keys.len() >= 4, "lease, table, stamp, workers: {keys:?}");
    for key in keys {
        for garbage in [&b""[..], b"\xff", &[0xff; 300], b"trimtab"] {
            proxy.shared.set(&key, garbage);
            proxy.run_for(Duration::from_millis(300));
            let exchange = ask(proxy.vm());
            assert!(
                exchange.request_ended,
                "{:?}",
                String::from_utf8_lossy(&key)
            );
            exchange.finish(proxy.vm());
        }
    }
    assert!(proxy.failures().is_empty(), "{:?}", proxy.failures());
}

#[test]
fn another_epoch_starts_its_sequence_anew() {
    let mut proxy = ready();
    answer(&mut proxy, &table_with(50, &[0, 0, 20_000]).encode());
    let restarted = Table {
        version: Version {
            epoch: 2,
            sequence: 1,
        },
        ..only(1, &[2])
    };
    answer(&mut proxy, &restarted.encode());
    assert_eq!(hosts(&mut proxy, 1)[0].as_deref(), Some(ENDPOINTS[2]));
}

#[test]
fn without_any_table_a_request_goes_on_without_destination() {
    let mut proxy = started(1);
    proxy.run_for(Duration::from_secs(1));
    let exchange = ask(proxy.vm()).finish(proxy.vm());
    assert_eq!(
        (first_host(&exchange), exchange.request_ended),
        (None, true)
    );
    proxy.run_for(Duration::from_secs(1));
    assert_eq!(
        counter(&proxy, "trimtab_decisions_total", "reason", "no_table"),
        1
    );
}

#[test]
fn a_table_that_grows_old_is_said_to_be_stale_and_never_costs_a_request() {
    let mut proxy = ready();
    let fresh = ask(proxy.vm()).finish(proxy.vm());
    let fresh = reason(&fresh).expect("explained");
    assert!(!fresh.starts_with("stale"), "{fresh}");
    for seconds in [5, 60, 3600] {
        proxy.run_for(Duration::from_secs(seconds));
        let exchange = ask(proxy.vm()).finish(proxy.vm());
        let reason = reason(&exchange).expect("explained");
        assert!(
            reason.starts_with("stale"),
            "after {seconds} s more: {reason}"
        );
        assert!(exchange.request_ended && first_host(&exchange).is_some());
    }
}

#[test]
fn a_table_that_comes_back_after_an_outage_ends_the_staleness() {
    let mut proxy = ready();
    proxy.run_for(Duration::from_secs(60));
    for token in proxy.main.vm.open_calls() {
        proxy.answer(0, token, None);
    }
    answer(&mut proxy, &table_with(2, &[0, 0, 20_000]).encode());
    let exchange = ask(proxy.vm()).finish(proxy.vm());
    assert!(!reason(&exchange).expect("explained").starts_with("stale"));
}

#[test]
fn a_table_without_endpoints_leaves_the_choice_to_the_proxy() {
    let mut proxy = ready();
    answer(&mut proxy, &table_with(2, &[]).encode());
    let exchange = ask(proxy.vm()).finish(proxy.vm());
    assert_eq!(
        (first_host(&exchange), exchange.request_ended),
        (None, true)
    );
}

#[test]
fn the_age_gauge_follows_the_clock() {
    let mut proxy = ready();
    proxy.run_for(Duration::from_secs(3));
    let age_ms = metric(&proxy, "trimtab_table_age_ms.pool.chat");
    assert!((3_000..5_000).contains(&age_ms), "{age_ms}");
    assert_eq!(
        metric(&proxy, "trimtab_table_endpoints.pool.chat"),
        table().endpoints.len() as u64
    );
}

#[test]
fn an_aggregator_that_answers_nonsense_statuses_is_survived() {
    let mut proxy = ready();
    for status in [0, 100, 204, 301, 400, 404, 418, 429, 500, 503, 999] {
        proxy.run_for(Duration::from_secs(10));
        for (number, call) in proxy.take_calls() {
            proxy.answer(
                number,
                call.token,
                Some(CallAnswer::new(status, "nonsense")),
            );
        }
    }
    proxy.run_for(Duration::from_secs(10));
    for (number, call) in proxy.take_calls() {
        proxy.answer(number, call.token, Some(CallAnswer::default()));
    }
    assert!(proxy.failures().is_empty());
    assert!(first_host(&ask(proxy.vm())).is_some());
}
