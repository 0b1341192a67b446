//! Tests requests whose headers are held back: slow bodies, and proxies that never show bodies.

use std::time::Duration;

use trimtab_wasmhost::{LogLevel, Options, ScriptedProxy};

use crate::support::{ask, chat, config, counter, first_host, module, ready, reported, table};

fn without_the_option() -> ScriptedProxy {
    let stop_all = Options {
        allow_on_headers_stop_iteration: false,
        ..Options::default()
    };
    let mut proxy = ScriptedProxy::start(module(), &config(), 1, stop_all).expect("starts");
    assert!(proxy.deliver(&table().encode()));
    proxy
}

#[test]
fn without_allow_on_headers_stop_iteration_one_request_waits_and_those_after_it_do_not() {
    let mut proxy = without_the_option();
    let mut first = ask(proxy.vm());
    assert_eq!(first.request_headers, None, "the headers are held");
    proxy.run_for(Duration::from_millis(400));
    first.collect(proxy.vm());
    assert!(first.request_ended && first_host(&first).is_some());
    assert_eq!(first.request_body, chat(500).into_bytes());
    first.finish(proxy.vm());

    for _ in 0..50 {
        let next = ask(proxy.vm());
        assert!(next.request_ended && first_host(&next).is_some());
        next.finish(proxy.vm());
    }
    let log = proxy.worker(0).script.log_text(LogLevel::Warn);
    let said = log.matches("allow_on_headers_stop_iteration: true").count();
    assert_eq!(said, 1, "{log}");
    proxy.run_for(Duration::from_millis(200));
    let faults = counter(
        &proxy,
        "trimtab_setup_errors_total",
        "reason",
        "no_stop_iteration",
    );
    assert_eq!(faults, 1);
    let report = reported(&mut proxy);
    assert_eq!(crate::support::in_flight(&report), 0);
}

#[test]
fn a_proxy_without_the_option_is_tried_again_after_a_minute() {
    let mut proxy = without_the_option();
    let first = ask(proxy.vm());
    proxy.run_for(Duration::from_millis(400));
    first.close(proxy.vm());
    proxy.run_for(Duration::from_secs(61));
    assert!(proxy.deliver(&crate::support::table_with(2, &[0, 0, 0]).encode()));
    let again = ask(proxy.vm());
    assert_eq!(again.request_headers, None, "one is held again");
    let beside = ask(proxy.vm());
    assert!(beside.request_ended, "others are not");
    proxy.run_for(Duration::from_millis(400));
    let mut again = again;
    again.collect(proxy.vm());
    assert!(again.request_ended);
}

#[test]
fn a_slow_body_is_placed_by_what_has_come_of_it_and_one_that_has_not_begun_by_load() {
    let mut proxy = ready();
    // One whole request shows the worker that bodies do come.
    ask(proxy.vm()).finish(proxy.vm());
    let mut slow = proxy
        .vm()
        .request()
        .body_chunk(r#"{"model": "m", "#)
        .leave_open();
    let mut silent = proxy.vm().request().leave_open();
    proxy.run_for(Duration::from_millis(900));
    for exchange in [&mut slow, &mut silent] {
        exchange.collect(proxy.vm());
        assert_eq!(exchange.request_headers, None, "still held");
    }
    proxy.run_for(Duration::from_millis(400));
    for exchange in [&mut slow, &mut silent] {
        exchange.collect(proxy.vm());
        assert!(first_host(exchange).is_some(), "placed after decide_within");
    }
    proxy.run_for(Duration::from_secs(30));
    slow.body(proxy.vm(), r#""prompt": "x"}"#, true);
    assert_eq!(slow.request_body, br#"{"model": "m", "prompt": "x"}"#);
    silent.body(proxy.vm(), "{}", true);
    for exchange in [slow, silent] {
        assert!(exchange.request_ended && first_host(&exchange).is_some());
        exchange.finish(proxy.vm());
    }
    assert_eq!(proxy.worker(0).script.log_text(LogLevel::Warn), "");
}

#[test]
fn a_client_that_is_slow_with_the_first_body_of_a_worker_does_not_look_like_a_missing_option() {
    let mut proxy = ready();
    let mut silent = proxy.vm().request().leave_open();
    proxy.run_for(Duration::from_millis(500));
    silent.collect(proxy.vm());
    assert!(first_host(&silent).is_some(), "placed by load");
    silent.body(proxy.vm(), chat(500), true);
    assert!(silent.request_ended);
    silent.finish(proxy.vm());
    let held = proxy.vm().request().leave_open();
    assert_eq!(held.request_headers, None, "bodies are read all the same");
    assert_eq!(proxy.worker(0).script.log_text(LogLevel::Warn), "");
}

#[test]
fn a_request_that_the_proxy_refuses_to_let_go_is_asked_for_again() {
    let mut proxy = without_the_option();
    let script = proxy.worker(0).script.clone();
    script.every("proxy_continue_stream", trimtab_wasmhost::Status(2));
    let mut held = ask(proxy.vm());
    proxy.run_for(Duration::from_millis(600));
    held.collect(proxy.vm());
    assert_eq!(held.request_headers, None);
    script.clear_faults();
    proxy.run_for(Duration::from_millis(200));
    held.collect(proxy.vm());
    assert!(held.request_ended && first_host(&held).is_some());
}

#[test]
fn a_plugin_that_is_configured_again_or_goes_lets_what_it_holds_go() {
    for goes in [false, true] {
        let mut proxy = without_the_option();
        let mut held = ask(proxy.vm());
        assert_eq!(held.request_headers, None);
        if goes {
            proxy.vm().shutdown();
        } else {
            assert!(proxy.vm().configure(config().as_bytes()).expect("no trap"));
        }
        held.collect(proxy.vm());
        assert!(held.request_ended, "gone: {goes}");
    }
}
