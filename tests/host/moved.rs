//! Tests what the filter asks about answers: where the request went, and how it ended. It asks
//! about few answers, and the report must be right all the same.

use std::time::Duration;

use trimtab_loadtable::{EndpointReport, Report};
use trimtab_wasmhost::{Exchange, LogLevel, Vm};

use crate::in_flight::ENDS;
use crate::support::{
    ENDPOINTS, EXPLAIN, ask, config, config_with, counter, first_host, in_flight, only, ready,
    ready_with, reported, route, table_with,
};

/// Returns the requests in flight on the first two endpoints.
fn both(report: &Report) -> (u32, u32) {
    let on = |address: &str| {
        let row = report.endpoints.iter().find(|own| own.address == address);
        row.map_or(0, |own| own.in_flight)
    };
    (on(ENDPOINTS[0]), on(ENDPOINTS[1]))
}

/// Returns one count of every endpoint.
fn rows(report: &Report, count: fn(&EndpointReport) -> u64) -> Vec<u64> {
    report.endpoints.iter().map(count).collect()
}

/// Sends a request whose first host is the first endpoint. The proxy sends it to the second one.
/// The headers of the answer have come.
fn moved(vm: &mut Vm) -> Exchange {
    let mut exchange = ask(vm);
    assert_eq!(first_host(&exchange).as_deref(), Some(ENDPOINTS[0]));
    vm.set_attribute(exchange.stream, "upstream.address", ENDPOINTS[1]);
    exchange.response(vm, 200);
    exchange
}

#[test]
fn a_retry_moves_the_request_to_where_it_went() {
    let mut proxy = ready_with(&config(), &only(1, &[0]));
    let mut exchange = ask(proxy.vm());
    assert_eq!(first_host(&exchange).as_deref(), Some(ENDPOINTS[0]));
    proxy
        .vm()
        .set_attribute(exchange.stream, "upstream.address", ENDPOINTS[1]);
    exchange.response(proxy.vm(), 200);
    let report = reported(&mut proxy);
    assert_eq!(both(&report), (0, 1), "{report:?}");
    exchange.response_chunk(proxy.vm(), b"x", true);
    exchange.close(proxy.vm());
    assert_eq!(in_flight(&reported(&mut proxy)), 0);
}

#[test]
fn an_endpoint_behind_an_internal_listener_is_the_one_that_was_asked_for() {
    let mut proxy = ready_with(&config(), &only(1, &[0]));
    for upstream in [ENDPOINTS[0], ENDPOINTS[1]] {
        let exchange = ask(proxy.vm());
        let internal = format!("envoy://connect_originate/{upstream}");
        proxy
            .vm()
            .set_attribute(exchange.stream, "upstream.address", internal);
        exchange.finish(proxy.vm());
    }
    let report = reported(&mut proxy);
    assert_eq!(rows(&report, |own| own.sent), [2, 1], "{report:?}");
    assert_eq!(rows(&report, |own| own.failed), [1, 0], "{report:?}");
}

#[test]
fn a_destination_that_nothing_follows_is_told_once_and_retries_and_observed_requests_are_none() {
    let observe = config_with(r#""mode": "observe""#);
    for (what, config, attempts, expected) in [
        ("elsewhere at once", config(), 1_u64, 12 - 7),
        ("elsewhere after a retry", config(), 2, 0),
        ("observed", observe, 1, 0),
    ] {
        let mut proxy = ready_with(&config, &only(1, &[0]));
        for _ in 0..12 {
            let mut exchange = ask(proxy.vm());
            let (vm, attempts) = (proxy.vm(), attempts.to_le_bytes());
            vm.set_attribute(exchange.stream, "upstream.address", ENDPOINTS[1]);
            vm.set_attribute(exchange.stream, "upstream.request_attempt_count", attempts);
            exchange.response(vm, 200);
            exchange.response_chunk(vm, [b'x'; 300], true);
            exchange.close(vm);
        }
        proxy.run_for(Duration::from_millis(200));
        let name = "trimtab_setup_errors_total";
        assert_eq!(
            counter(&proxy, name, "reason", "not_followed"),
            expected,
            "{what}"
        );
        let log = proxy.worker(0).script.log_text(LogLevel::Warn);
        let said = log.matches("go elsewhere than they are sent").count();
        assert_eq!(said, usize::from(expected > 0), "{what}: {log}");
    }
}

#[test]
fn an_upstream_outside_of_the_table_leaves_nothing_behind() {
    for address in ["9.9.9.9:9", "nonsense", "", "\u{fffd}\u{0}"] {
        let mut proxy = ready();
        let exchange = ask(proxy.vm());
        proxy
            .vm()
            .set_attribute(exchange.stream, "upstream.address", address);
        exchange.finish(proxy.vm());
        assert_eq!(in_flight(&reported(&mut proxy)), 0, "{address:?}");
        assert!(proxy.failures().is_empty());
    }
}

#[test]
fn seven_of_eight_whole_answers_cost_no_hostcall() {
    let mut proxy = ready();
    let answer = [b'x'; 300];
    let mut calls = Vec::new();
    for _ in 0..16 {
        let mut exchange = ask(proxy.vm());
        route(proxy.vm(), &exchange);
        // The explain header makes another call.
        let before = proxy.workers[0].script.count("proxy_get_property");
        exchange.response(proxy.vm(), 200);
        exchange.response_chunk(proxy.vm(), answer, true);
        exchange.close(proxy.vm());
        calls.push(proxy.workers[0].script.count("proxy_get_property") - before);
    }
    let expected: Vec<usize> = (0..16).map(|n| usize::from(n % 8 == 0)).collect();
    assert_eq!(calls, expected);
}

#[test]
fn moved_requests_that_were_not_asked_about_are_booked_right_once_one_is_noticed_and_at_their_end()
{
    let mut proxy = ready_with(&config(), &only(1, &[0]));
    ask(proxy.vm()).finish(proxy.vm());
    // The filter does not ask about the second to the eighth answer. It asks about the ninth.
    let mut unnoticed: Vec<Exchange> = (0..7).map(|_| moved(proxy.vm())).collect();
    let report = reported(&mut proxy);
    assert_eq!(both(&report), (7, 0));
    let noticed = moved(proxy.vm());
    let report = reported(&mut proxy);
    assert_eq!(both(&report), (7, 1));
    for exchange in unnoticed.iter_mut().take(4) {
        exchange.response_chunk(proxy.vm(), [b'x'; 300], false);
    }
    let report = reported(&mut proxy);
    assert_eq!(both(&report), (3, 5));
    assert_eq!(rows(&report, |own| own.started), [0, 4], "{report:?}");
    for exchange in unnoticed.drain(..).chain([noticed]) {
        exchange.close(proxy.vm());
    }
    let report = reported(&mut proxy);
    assert_eq!(in_flight(&report), 0);
    // Moved requests count as failed at their first endpoint, and as sent again.
    assert_eq!(rows(&report, |own| own.sent), [9, 8], "{report:?}");
    assert_eq!(rows(&report, |own| own.finished), [9, 8], "{report:?}");
    assert_eq!(rows(&report, |own| own.failed), [8, 0], "{report:?}");
}

#[test]
fn a_retried_request_counts_against_the_first_of_the_list_and_one_that_was_never_tried_there_does_not()
 {
    for (attempts, expected) in [(1_u64, 0), (2, 9)] {
        // The first endpoint is idle and would get all requests.
        let mut proxy = ready_with(&config(), &table_with(1, &[0, 20_000, 20_000]));
        let mut elsewhere = 0;
        for _ in 0..12 {
            let mut exchange = ask(proxy.vm());
            let vm = proxy.vm();
            if first_host(&exchange).as_deref() == Some(ENDPOINTS[0]) {
                let attempts = attempts.to_le_bytes();
                vm.set_attribute(exchange.stream, "upstream.address", ENDPOINTS[1]);
                vm.set_attribute(exchange.stream, "upstream.request_attempt_count", attempts);
            } else {
                elsewhere += 1;
                route(vm, &exchange);
            }
            exchange.response(vm, 200);
            exchange.response_chunk(vm, [b'x'; 300], true);
            exchange.close(vm);
        }
        // The endpoint is ejected after three failures.
        assert_eq!(elsewhere, expected, "{attempts} attempts");
    }
}

#[test]
fn an_endpoint_whose_answers_fail_is_left_out_and_the_explanation_says_so() {
    for (status, times) in [(500_u16, 3), (429, 1)] {
        let mut proxy = ready_with(&config(), &table_with(1, &[0, 20_000, 20_000]));
        for _ in 0..times {
            let mut exchange = ask(proxy.vm());
            route(proxy.vm(), &exchange);
            assert_eq!(first_host(&exchange).as_deref(), Some(ENDPOINTS[0]));
            let code = u64::from(status).to_le_bytes();
            proxy
                .vm()
                .set_attribute(exchange.stream, "response.code", code);
            exchange.response(proxy.vm(), status);
            exchange.response_chunk(proxy.vm(), b"no", true);
            exchange.close(proxy.vm());
        }
        let mut exchange = ask(proxy.vm());
        assert_ne!(first_host(&exchange).as_deref(), Some(ENDPOINTS[0]));
        exchange.response(proxy.vm(), 200);
        let headers = exchange.response_headers.as_ref().expect("an answer");
        let explained = headers.text(EXPLAIN).expect("explained");
        assert!(explained.contains("left_out=1"), "{explained}");
    }
}

#[test]
fn a_failure_is_noticed_whether_or_not_its_answer_was_asked_about() {
    for (failure, run) in [
        ("the server says 500", ENDS[2].1),
        ("reset in the middle of the answer", ENDS[5].1),
        ("a timeout", ENDS[6].1),
    ] {
        let mut proxy = ready_with(&config(), &only(1, &[0]));
        ask(proxy.vm()).finish(proxy.vm());
        let exchange = ask(proxy.vm());
        let code = if failure.starts_with("reset") {
            200_u64
        } else {
            500
        };
        proxy
            .vm()
            .set_attribute(exchange.stream, "response.code", code.to_le_bytes());
        run(exchange, proxy.vm());
        let report = reported(&mut proxy);
        let failed: u64 = report.endpoints.iter().map(|own| own.failed).sum();
        assert_eq!(failed, 1, "{failure}: {report:?}");
        // From here on the filter asks about every answer.
        let _moved = moved(proxy.vm());
        assert_eq!(both(&reported(&mut proxy)).1, 1, "{failure}");
    }
}
