//! Tests what comes before the rule's choice: probes that the table asks for, and endpoints that
//! keep what a request asks for.

use std::time::Duration;

use trimtab_loadtable::{Moved, Probe, Report, State, Table};
use trimtab_wasmhost::{CallAnswer, Exchange, ScriptedProxy, Vm};

use crate::reports::two_workers;
use crate::support::{
    DESTINATION, ENDPOINTS, ask, config, config_with, first_host, ready_with, reason, reported,
    route, table_with,
};

const RESPONSES: &str = "/v1/responses";

/// Returns a table that asks the proxy for a probe. It has three endpoints; the last one is
/// suspect.
fn asking(sequence: u64, proxy: u64, number: u64) -> Table {
    let mut table = table_with(sequence, &[0, 0, 0]);
    table.endpoints[2].state = State::Suspect;
    table.probes = vec![Probe {
        proxy,
        endpoint: 2,
        number,
    }];
    table
}

/// Sends `count` requests, by the two workers in turn. Returns how many went to the suspect
/// endpoint, and how many were probes.
fn places(proxy: &mut ScriptedProxy, count: usize) -> (usize, usize) {
    let (mut tried, mut probes) = (0, 0);
    for n in 0..count {
        let vm = &mut proxy.worker(n % 2).vm;
        let exchange = ask(vm);
        let host = first_host(&exchange);
        tried += usize::from(host.as_deref() == Some(ENDPOINTS[2]));
        let exchange = exchange.finish(vm);
        probes += usize::from(reason(&exchange).as_deref() == Some("probe"));
    }
    (tried, probes)
}

#[test]
fn one_request_of_one_worker_tries_out_what_the_table_asks_this_proxy_for() {
    let mut proxy = two_workers(&asking(1, 0, 1));
    assert_eq!(places(&mut proxy, 8), (0, 0), "another proxy is asked");
    let own = reported(&mut proxy).proxy;
    for (sequence, number, expected) in [(2, 1, 1), (3, 1, 0), (4, 2, 1), (5, 2, 0)] {
        assert!(proxy.deliver(&asking(sequence, own, number).encode()));
        let found = places(&mut proxy, 8);
        assert_eq!(
            found,
            (expected, expected),
            "table {sequence}, number {number}"
        );
    }
    assert_eq!(proxy.failures(), Vec::<String>::new());
}

/// Creates a response. Its answer comes in pieces of `size` bytes.
fn make(vm: &mut Vm, answer: &str, size: usize) -> Exchange {
    let request = vm.request().header(":path", RESPONSES);
    let mut exchange = request.body(r#"{"model": "m", "input": "hello"}"#);
    route(vm, &exchange);
    exchange.response(vm, 200);
    for piece in answer.as_bytes().chunks(size) {
        exchange.response_chunk(vm, piece, false);
    }
    exchange.response_chunk(vm, b"", true);
    exchange
}

/// Returns where a request for a response goes, and why.
fn get(vm: &mut Vm, name: &str) -> (Option<String>, Option<String>) {
    let path = format!("{RESPONSES}/{name}");
    let request = vm.request().header(":method", "GET");
    let exchange = request.header(":path", path).end().finish(vm);
    (first_host(&exchange), reason(&exchange))
}

/// Asks for a response. The proxy goes on to `server` in its second try, which answers with
/// `status`. Returns the hosts that the proxy may try, and how often again after a 404. Absent: it
/// is not told to retry.
fn sought(vm: &mut Vm, name: &str, server: &str, status: u16) -> (String, Option<String>) {
    let request = vm.request().header(":method", "GET");
    let request = request.header(":path", format!("{RESPONSES}/{name}"));
    let mut exchange = request.end();
    let header = |name: &str| exchange.upstream_header(name).map(|value| value.to_owned());
    let hosts = header(DESTINATION).expect("placed");
    let again = header("x-envoy-retriable-status-codes").map(|statuses| {
        assert_eq!(statuses, "404");
        header("x-envoy-max-retries").expect("as often as there are others")
    });
    vm.set_attribute(exchange.stream, "upstream.address", server);
    let attempts = 2_u64.to_le_bytes();
    vm.set_attribute(exchange.stream, "upstream.request_attempt_count", attempts);
    exchange.response(vm, status);
    exchange.response_chunk(vm, b"{}", true);
    exchange.close(vm);
    (hosts, again)
}

/// Returns the key of what a server keeps and that server's address. The proxy reports it at once,
/// outside its polls.
fn told(proxy: &mut ScriptedProxy) -> (u64, String) {
    proxy.run_for(Duration::from_millis(200));
    let calls = proxy.take_calls().into_iter();
    let reports = calls.map(|(_, call)| Report::decode(&call.body).expect("a report"));
    let all: Vec<Report> = reports.filter(|report| !report.held.is_empty()).collect();
    let [report] = &all[..] else {
        panic!("once: {all:?}")
    };
    let [held] = report.held[..] else {
        panic!("one: {report:?}")
    };
    let row = &report.endpoints[usize::from(held.endpoint)];
    (held.key, row.address.clone())
}

#[test]
fn what_a_server_keeps_is_asked_of_it_and_told_to_others() {
    let filler = "x".repeat(40_000);
    let plain = format!(r#"{{"metadata":{{"a":"{filler}"}},"id":"resp_1","object":"response"}}"#);
    let event = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n";
    let pinged = format!(": {{hello}}\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\n{event}");
    let answers = [
        (plain.as_str(), 100_000),
        (&plain, 7_000),
        (event, 5),
        (&pinged, 9),
    ];
    for (answer, size) in answers {
        let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
        let made = make(proxy.vm(), answer, size);
        let holder = first_host(&made).expect("placed");
        made.close(proxy.vm());
        let told = told(&mut proxy);
        assert_eq!(told.1, holder);
        // A restarted aggregator knows nothing, so the proxy must report the response again.
        let mut restarted = table_with(1, &[0, 0, 0]);
        restarted.version.epoch += 1;
        assert!(proxy.deliver(&restarted.encode()));
        // The response is in the next report after each worker has written its own.
        proxy.run_for(Duration::from_secs(2));
        restarted.version.sequence += 1;
        assert!(proxy.deliver(&restarted.encode()));
        assert_eq!(self::told(&mut proxy), told);
        // The endpoint is chosen even when it has the longest wait and drains.
        let row = ENDPOINTS.iter().position(|own| *own == holder).unwrap();
        let mut later = table_with(3, &[0, 0, 0]);
        later.version.epoch += 1;
        later.endpoints[row].wait_ms = Some(60_000);
        later.endpoints[row].state = State::Draining;
        assert!(proxy.deliver(&later.encode()));
        let found = get(proxy.vm(), "resp_1");
        assert_eq!(found, (Some(holder.clone()), Some("held".into())));
        let (other, why) = get(proxy.vm(), "resp_2");
        assert!(other != Some(holder.clone()) && why != Some("held".into()));
        // All workers of another proxy know the response from their first table.
        let endpoint = u16::try_from(row).unwrap();
        later.held = vec![Moved {
            key: told.0,
            endpoint,
        }];
        let mut other = two_workers(&later);
        let mut next = table_with(4, &[0, 0, 0]);
        next.version.epoch += 1;
        assert!(other.deliver(&next.encode()));
        for worker in 0..2 {
            let found = get(&mut other.worker(worker).vm, "resp_1");
            assert_eq!(
                found,
                (Some(holder.clone()), Some("held".into())),
                "{worker}"
            );
        }
    }
}

#[test]
fn what_is_tried_out_and_answers_404_has_failed() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
    let own = reported(&mut proxy).proxy;
    for (sequence, status, failed) in [(2, 404, 1), (3, 200, 1), (4, 301, 2)] {
        assert!(proxy.deliver(&asking(sequence, own, sequence).encode()));
        let mut exchange = ask(proxy.vm());
        assert_eq!(first_host(&exchange).as_deref(), Some(ENDPOINTS[2]));
        route(proxy.vm(), &exchange);
        exchange.response(proxy.vm(), status);
        exchange.response_chunk(proxy.vm(), "{}".repeat(100).as_bytes(), true);
        exchange.close(proxy.vm());
        let report = reported(&mut proxy);
        let row = report
            .endpoints
            .iter()
            .find(|row| row.address == ENDPOINTS[2]);
        let row = row.expect("it got one");
        assert_eq!(
            (row.finished, row.failed),
            (sequence - 1, failed),
            "{status}"
        );
    }
}

#[test]
fn what_nobody_knows_of_is_sought_at_every_server_and_found_there_once() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
    let (hosts, retries) = sought(proxy.vm(), "resp_1", ENDPOINTS[2], 200);
    let mut asked: Vec<&str> = hosts.split(',').collect();
    asked.sort_unstable();
    assert_eq!((asked, retries.as_deref()), (ENDPOINTS.to_vec(), Some("2")));
    let found = get(proxy.vm(), "resp_1");
    assert_eq!(found, (Some(ENDPOINTS[2].to_owned()), Some("held".into())));
    // Nobody had it: the last that was asked has not got it either.
    sought(proxy.vm(), "resp_2", ENDPOINTS[1], 404);
    assert_ne!(get(proxy.vm(), "resp_2").1, Some("held".into()));
    // Who is suspect may hang, and is not asked.
    let mut table = table_with(2, &[0, 0, 0]);
    table.endpoints[1].state = State::Suspect;
    assert!(proxy.deliver(&table.encode()));
    let (hosts, retries) = sought(proxy.vm(), "resp_3", ENDPOINTS[0], 404);
    assert_eq!(hosts.split(',').count(), 2, "{hosts}");
    assert!(!hosts.contains(ENDPOINTS[1]) && retries.as_deref() == Some("1"));
    // Names that are made up cost no more than so many searches.
    let all = (0..100).map(|n| sought(proxy.vm(), &format!("resp_x{n}"), ENDPOINTS[0], 404));
    let searches = all.filter(|(_, retries)| retries.is_some()).count();
    assert!((10..20).contains(&searches), "{searches}");
}

#[test]
fn what_only_asks_for_something_kept_is_not_counted_as_work() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
    make(proxy.vm(), r#"{"id":"resp_1"}"#, 100).close(proxy.vm());
    let count = |proxy: &mut ScriptedProxy| {
        let rows = reported(proxy).endpoints.into_iter();
        rows.map(|row| (row.sent, row.started, row.finished))
            .fold((0, 0, 0), |sum, row| {
                (sum.0 + row.0, sum.1 + row.1, sum.2 + row.2)
            })
    };
    assert_eq!(count(&mut proxy), (1, 1, 1));
    for _ in 0..5 {
        get(proxy.vm(), "resp_1");
    }
    assert_eq!(count(&mut proxy), (1, 1, 1));
}

#[test]
fn what_a_request_goes_on_from_is_found_behind_any_input_in_any_pieces() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
    let made = make(proxy.vm(), r#"{"id":"resp_1"}"#, 100);
    let expected = (first_host(&made), Some("held".to_owned()));
    made.close(proxy.vm());
    for input_bytes in [10, 5_000, 30_000, 300_000] {
        let input = "word ".repeat(input_bytes / 5);
        let body = format!(
            r#"{{"model":"m","stream":true,"instructions":"i","tools":[1],"input":[{{"role":"user","content":"{input}"}}],"previous_response_id":"resp_1"}}"#
        );
        for path in [
            RESPONSES,
            "/v1/responses/compact",
            "/v1/responses/input_tokens",
        ] {
            let request = proxy.vm().request().header(":path", path);
            let mut exchange = request.leave_open();
            let mut pieces = body.as_bytes().chunks(1_400).peekable();
            while let Some(piece) = pieces.next() {
                let is_last = pieces.peek().is_none();
                exchange.body(proxy.vm(), piece, is_last);
            }
            let found = first_host(&exchange);
            let exchange = exchange.finish(proxy.vm());
            assert_eq!(
                (found, reason(&exchange)),
                expected,
                "{path}, {input_bytes}"
            );
            assert_eq!(exchange.request_body, body.as_bytes());
        }
    }
    assert_eq!(proxy.failures(), Vec::<String>::new());
}

#[test]
fn where_the_proxy_holds_less_of_a_body_only_the_first_request_waits() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
    let begin = |proxy: &mut ScriptedProxy| {
        let request = proxy.vm().request().header(":path", RESPONSES);
        let mut exchange = request.leave_open();
        exchange.body(proxy.vm(), r#"{"model":"m","input":""#, false);
        exchange.body(proxy.vm(), [b'a'; 32 * 1_024], false);
        exchange
    };
    let mut first = begin(&mut proxy);
    assert_eq!(first_host(&first), None, "the rest may name something");
    proxy.run_for(Duration::from_millis(1_500));
    first.collect(proxy.vm());
    assert!(first_host(&first).is_some(), "it went on");
    let second = begin(&mut proxy);
    assert!(first_host(&second).is_some(), "at once");
    proxy.run_for(Duration::from_secs(61));
    let later = begin(&mut proxy);
    assert_eq!(first_host(&later), None, "tried again");
}

#[test]
fn an_answer_that_names_what_is_kept_is_asked_for_uncompressed() {
    for (settings, path, kept) in [
        ("", RESPONSES, false),
        (r#""mode": "observe""#, RESPONSES, true),
        ("", "/v1/chat/completions", true),
    ] {
        let mut proxy = ready_with(&config_with(settings), &table_with(1, &[0, 0, 0]));
        let request = proxy.vm().request().header(":path", path);
        let request = request.header("accept-encoding", "gzip");
        let exchange = request.body(r#"{"model": "m", "input": "hello"}"#);
        let headers = exchange.request_headers.as_ref().expect("it went on");
        assert_eq!(
            headers.text("accept-encoding").is_some(),
            kept,
            "{settings}{path}"
        );
    }
}

#[test]
fn what_a_server_keeps_is_known_to_all_workers_at_once_without_an_aggregator_and_under_another_key()
{
    let mut proxy = two_workers(&table_with(1, &[0, 0, 0]));
    let answer = r#"{"id":"resp_1","object":"response"}"#;
    let made = make(&mut proxy.worker(0).vm, answer, 1_000);
    let holder = first_host(&made);
    made.close(&mut proxy.worker(0).vm);
    let expected = (holder, Some("held".to_owned()));
    assert!(expected.0.is_some(), "placed");
    for worker in [1, 0, 1] {
        let found = get(&mut proxy.worker(worker).vm, "resp_1");
        assert_eq!(found, expected, "{worker}");
        let (_, why) = get(&mut proxy.worker(worker).vm, "resp_2");
        assert_ne!(why, expected.1, "{worker}, of nobody");
    }
    let mut restarted = table_with(1, &[0, 0, 0]);
    restarted.version.epoch += 1;
    restarted.placement_key = [99; 16];
    assert!(proxy.deliver(&restarted.encode()));
    for worker in 0..2 {
        let found = get(&mut proxy.worker(worker).vm, "resp_1");
        assert_eq!(found, expected, "{worker}, under another key");
    }
    // A response whose server is gone belongs to no endpoint.
    let row = ENDPOINTS
        .iter()
        .position(|own| Some(*own) == expected.0.as_deref());
    restarted.endpoints.remove(row.unwrap());
    restarted.version.sequence += 1;
    assert!(proxy.deliver(&restarted.encode()));
    let found = get(&mut proxy.worker(1).vm, "resp_1");
    assert!(found.0 != expected.0 && found.1 != expected.1, "{found:?}");
    assert_eq!(proxy.failures(), Vec::<String>::new());
}

#[test]
fn what_a_server_keeps_is_said_again_until_the_aggregator_has_answered() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 0, 0]));
    let _ = make(proxy.vm(), r#"{"id":"resp_1"}"#, 100);
    let mut said = 0;
    for status in [503, 400, 204, 204] {
        proxy.run_for(Duration::from_secs(2));
        for (number, call) in proxy.take_calls() {
            let report = Report::decode(&call.body).expect("a report");
            said += report.held.len();
            // A poll that is answered without a table ends, so the next one comes.
            let answer = CallAnswer::new(status, "");
            let _ = proxy.answer(number, call.token, Some(answer));
        }
    }
    assert_eq!(
        said, 3,
        "with two calls that failed, and the one that did not"
    );
}
