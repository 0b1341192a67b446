//! Tests what the filter does with its configuration, good and bad.

use std::time::{Duration, Instant};

use trimtab_filter::names;
use trimtab_wasmhost::{HostError, LogLevel, Options, Script, ScriptedProxy, Shared, Status, Vm};

use crate::support::{EXPLAIN, chat, config, config_with, module};

fn start(config: &str) -> Result<ScriptedProxy, HostError> {
    ScriptedProxy::start(module(), config, 1, Options::default())
}

fn refused(config: &str) -> String {
    match start(config) {
        Err(HostError::Refused(log)) => log,
        other => panic!("{config}: {other:?}"),
    }
}

#[test]
fn a_good_configuration_is_taken_and_asks_for_ticks() {
    let started = Instant::now();
    let proxy = start(&config()).expect("taken");
    println!("compiled and started in {:?}", started.elapsed());
    assert_eq!(
        proxy.main.vm.tick_period().map(|period| period.as_millis()),
        Some(100)
    );
    assert_eq!(proxy.main.script.log_text(LogLevel::Warn), "");
}

#[test]
fn every_problem_of_a_bad_configuration_is_logged_at_once() {
    let log = refused(r#"{"aggregator": {"clutser": "x"}, "max_hosts": 9, "tick": "1h"}"#);
    for field in ["pool", "aggregator.cluster", "clutser", "max_hosts", "tick"] {
        assert!(log.contains(field), "{field} is missing in:\n{log}");
    }
}

#[test]
fn a_configuration_that_is_no_json_object_is_refused_with_the_reason() {
    for config in [
        "",
        "{",
        "[]",
        "null",
        "\"pool\"",
        "\u{0}",
        "{\"pool\": \"chat\"}",
    ] {
        assert!(refused(config).contains("trimtab:"), "{config:?}");
    }
    refused(&format!("{{\"pool\": \"{}\"}}", "x".repeat(100_000)));
    refused(&"[".repeat(60_000));
}

#[test]
fn a_configuration_of_any_bytes_is_refused_and_never_traps() {
    let good = config();
    for end in 0..good.len() {
        let shared = Shared::new();
        if end % 8 != 0 {
            continue;
        }
        let mut vm = Vm::new(module(), &shared, Script::new(), Options::default()).expect("links");
        let mut bytes = good.as_bytes()[..end].to_vec();
        bytes.extend_from_slice(b"\xff\x00{");
        assert!(!vm.configure(&bytes).expect("no trap"), "cut at {end}");
    }
}

#[test]
fn a_host_that_keeps_the_configuration_to_itself_is_a_refusal_and_no_trap() {
    for status in 0..=13 {
        let script = Script::new();
        script.every("proxy_get_buffer_bytes", Status(status));
        let mut vm =
            Vm::new(module(), &Shared::new(), script.clone(), Options::default()).expect("links");
        assert!(
            !vm.configure(config().as_bytes()).expect("no trap"),
            "status {status}"
        );
        assert!(
            script.log_text(LogLevel::Error).contains("configuration"),
            "{status}: {:?}",
            script.logs()
        );
    }
}

#[test]
fn a_refused_configuration_leaves_requests_alone() {
    let mut vm =
        Vm::new(module(), &Shared::new(), Script::new(), Options::default()).expect("links");
    assert!(!vm.configure(b"{}").expect("no trap"));
    let exchange = vm
        .request()
        .body_chunk("{\"model\"")
        .body(": 1}")
        .finish(&mut vm);
    assert_eq!(exchange.request_body, b"{\"model\": 1}");
    assert_eq!(
        (
            exchange.upstream_header(crate::support::DESTINATION),
            vm.failure()
        ),
        (None, None)
    );
}

#[test]
fn metrics_are_named_as_configured_by_both_plugins() {
    for role in ["single", "tap", "pick"] {
        let settings = format!(r#""metric_names": "istio", "role": "{role}""#);
        let mut proxy = start(&config_with(&settings)).expect("taken");
        for _ in 0..3 {
            let request = proxy.vm().request().header(EXPLAIN, "forged");
            request.body(chat(100)).finish(proxy.vm());
        }
        proxy.run_for(Duration::from_secs(1));
        let counted = proxy.shared.all_metrics();
        assert!(!counted.is_empty(), "{role}");
        for metric in counted {
            let name = metric.name;
            assert!(name.starts_with("pool=.=chat;.;"), "{role}: {name}");
            names::check(&name).unwrap_or_else(|error| panic!("{role}: {error}"));
        }
    }
}

#[test]
fn the_tick_period_is_the_configured_one() {
    let proxy = start(&config_with(r#""tick": "250ms""#)).expect("taken");
    assert_eq!(
        proxy.main.vm.tick_period().map(|period| period.as_millis()),
        Some(250)
    );
}
