//! Tests that a request counts as in flight once, from its placement to its end, however it ends.

use trimtab_wasmhost::{Direction, Exchange, ScriptedProxy, Status, Vm};

use crate::support::{
    ENDPOINTS, ask, config, first_host, in_flight, only, ready, ready_with, reported, route,
    started,
};

pub(crate) type End = fn(Exchange, &mut Vm);

/// Every way in which a placed request can end.
pub(crate) const ENDS: [(&str, End); 11] = [
    ("a whole answer", |exchange, vm| {
        route(vm, &exchange);
        exchange.finish(vm);
    }),
    ("an answer of headers alone", |exchange, vm| {
        route(vm, &exchange);
        let headers = [(":status", "204")].into_iter().collect();
        vm.headers(exchange.stream, Direction::Response, headers, true);
        exchange.close(vm);
    }),
    ("an error of the server", |mut exchange, vm| {
        route(vm, &exchange);
        exchange.response(vm, 500);
        exchange.response_chunk(vm, b"oh", true);
        exchange.close(vm);
    }),
    ("no upstream takes it", |mut exchange, vm| {
        exchange.local_reply(vm, 503);
        exchange.close(vm);
    }),
    ("reset before an answer", |mut exchange, vm| {
        route(vm, &exchange);
        exchange.local_reply(vm, 503);
        exchange.close(vm);
    }),
    ("reset in the middle of the answer", |mut exchange, vm| {
        route(vm, &exchange);
        exchange.response(vm, 200);
        exchange.response_chunk(vm, b"begin", false);
        vm.set_attribute(exchange.stream, "response.flags", 0x10_u64.to_le_bytes());
        exchange.close(vm);
    }),
    ("a timeout", |mut exchange, vm| {
        route(vm, &exchange);
        exchange.local_reply(vm, 504);
        exchange.close(vm);
    }),
    ("the client goes away before an answer", |exchange, vm| {
        exchange.close(vm);
    }),
    (
        "the client goes away after the headers of the answer",
        |mut exchange, vm| {
            route(vm, &exchange);
            exchange.response(vm, 200);
            exchange.close(vm);
        },
    ),
    ("trailers", |mut exchange, vm| {
        route(vm, &exchange);
        exchange.response(vm, 200);
        exchange.response_chunk(vm, b"body", false);
        let trailers = [("t", "1")].into_iter().collect();
        vm.trailers(exchange.stream, Direction::Response, trailers);
        exchange.close(vm);
    }),
    ("deleted without a log", |exchange, vm| {
        vm.close_without_log(exchange.stream);
    }),
];

#[test]
fn every_end_takes_the_request_out_of_the_books_once() {
    for (end, run) in ENDS {
        let mut proxy = ready();
        let exchanges: Vec<Exchange> = (0..3).map(|_| ask(proxy.vm())).collect();
        let stays = ask(proxy.vm());
        let before = reported(&mut proxy);
        assert_eq!(in_flight(&before), 4, "{end}: {before:?}");
        for exchange in exchanges {
            run(exchange, proxy.vm());
        }
        let after = reported(&mut proxy);
        assert_eq!(in_flight(&after), 1, "{end}: {after:?}");
        let sums = |count: fn(&trimtab_loadtable::EndpointReport) -> u64| {
            after.endpoints.iter().map(count).sum::<u64>()
        };
        assert_eq!(
            (sums(|own| own.sent), sums(|own| own.finished)),
            (4, 3),
            "{end}"
        );
        run(stays, proxy.vm());
        assert_eq!(in_flight(&reported(&mut proxy)), 0, "{end}");
        assert_eq!(proxy.vm().open_streams(), 0, "{end}");
        assert!(proxy.failures().is_empty(), "{end}");
    }
}

#[test]
fn an_endpoint_with_more_in_flight_gets_less() {
    // Both endpoints are idle in the table. The requests that this proxy has sent since must count.
    let mut proxy = ready_with(&config(), &only(1, &[0, 1]));
    let open: Vec<_> = (0..100)
        .map(|_| first_host(&ask(proxy.vm())).expect("placed"))
        .collect();
    let first = open.iter().filter(|host| *host == ENDPOINTS[0]).count();
    // A blind choice between equal endpoints would leave this range one time in 20,000 (binomial, n
    // = 100).
    assert!((30..=70).contains(&first), "{first} of 100 on the first");
    let report = reported(&mut proxy);
    assert_eq!(
        report.endpoints.iter().map(|own| own.sent).sum::<u64>(),
        100
    );
}

#[test]
fn the_first_byte_ends_the_pending_tokens_and_not_the_request() {
    let mut proxy = ready();
    let mut exchange = ask(proxy.vm());
    route(proxy.vm(), &exchange);
    let pending = |report: &trimtab_loadtable::Report| {
        report
            .endpoints
            .iter()
            .map(|own| own.pending_tokens)
            .sum::<u32>()
    };
    assert!(pending(&reported(&mut proxy)) > 50);
    exchange.response(proxy.vm(), 200);
    assert!(
        pending(&reported(&mut proxy)) > 50,
        "headers come before prefill"
    );
    exchange.response_chunk(proxy.vm(), b"token", false);
    let report = reported(&mut proxy);
    assert_eq!((pending(&report), in_flight(&report)), (0, 1));
    exchange.close(proxy.vm());
}

/// Pieces of an answer up to the first token, and whether the piece holds that token.
const STREAM: [(&str, bool); 6] = [
    (": keep-alive\n\n", false),
    (
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"instructions\":\"x",
        false,
    ),
    ("y\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n", false),
    (
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\ndata: {\"del",
        false,
    ),
    ("ta\":\"T", true),
    ("oken\"}\n\n", true),
];

#[test]
fn what_comes_before_the_first_token_leaves_the_tokens_pending() {
    let mut proxy = ready();
    let mut exchange = ask(proxy.vm());
    route(proxy.vm(), &exchange);
    exchange.response(proxy.vm(), 200);
    for (chunk, has_begun) in STREAM {
        exchange.response_chunk(proxy.vm(), chunk.as_bytes(), false);
        let report = reported(&mut proxy);
        let pending: u32 = report.endpoints.iter().map(|own| own.pending_tokens).sum();
        assert_eq!(
            (pending == 0, in_flight(&report)),
            (has_begun, 1),
            "{chunk}"
        );
    }
    exchange.response_chunk(proxy.vm(), b"", true);
    exchange.close(proxy.vm());
    // An answer with nothing but comments ends all the same. So does one whose bytes the proxy does
    // not give.
    let mut empty = ask(proxy.vm());
    route(proxy.vm(), &empty);
    empty.response(proxy.vm(), 200);
    empty.response_chunk(proxy.vm(), b": keep-alive\n\n", true);
    empty.close(proxy.vm());
    let mut unread = ask(proxy.vm());
    route(proxy.vm(), &unread);
    unread.response(proxy.vm(), 200);
    let script = &proxy.workers[0].script;
    script.nth("proxy_get_buffer_bytes", 1, Status::INTERNAL_FAILURE);
    unread.response_chunk(proxy.vm(), b": keep-alive\n\n", false);
    let report = reported(&mut proxy);
    let pending: u32 = report.endpoints.iter().map(|own| own.pending_tokens).sum();
    assert_eq!((pending, in_flight(&report)), (0, 1));
    unread.close(proxy.vm());
}

/// Events are read until the first token, and not after it. From then on a chunk of a stream costs
/// only a callback.
#[test]
fn nothing_of_an_answer_is_fetched_once_it_has_begun() {
    let mut proxy = ready();
    let mut exchange = ask(proxy.vm());
    route(proxy.vm(), &exchange);
    exchange.response(proxy.vm(), 200);
    let calls = |proxy: &ScriptedProxy| proxy.workers[0].script.count("proxy_get_buffer_bytes");
    let mut before = calls(&proxy);
    for (chunk, fetched) in [
        (": x\n\n", 1),
        ("data: {\"text\":\"a\"}\n\n", 1),
        ("data: {\"text\":\"b\"}\n\n", 0),
    ] {
        exchange.response_chunk(proxy.vm(), chunk.as_bytes(), false);
        assert_eq!(calls(&proxy) - before, fetched, "{chunk}");
        before = calls(&proxy);
    }
    exchange.close(proxy.vm());
}

#[test]
fn requests_of_an_endpoint_that_leaves_the_table_end_in_peace() {
    let mut proxy = ready();
    let exchanges: Vec<Exchange> = (0..20).map(|_| ask(proxy.vm())).collect();
    let mut smaller = crate::support::table_with(2, &[0]);
    smaller.endpoints[0].address = "10.9.9.9:8000".into();
    assert!(proxy.deliver(&smaller.encode()));
    for exchange in exchanges {
        exchange.finish(proxy.vm());
    }
    assert_eq!(in_flight(&reported(&mut proxy)), 0);
    assert_eq!(
        first_host(&ask(proxy.vm())).as_deref(),
        Some("10.9.9.9:8000")
    );
}

#[test]
fn requests_that_were_not_placed_are_not_counted() {
    let mut proxy = ready();
    let get = proxy.vm().request().header(":method", "GET").end();
    let held = proxy.vm().request().body_chunk("{").leave_open();
    assert_eq!(in_flight(&reported(&mut proxy)), 0);
    get.finish(proxy.vm());
    held.close(proxy.vm());
    let never_came = proxy.vm().open();
    proxy.vm().close(never_came);
    assert_eq!(in_flight(&reported(&mut proxy)), 0);
    assert!(proxy.failures().is_empty());
}

#[test]
fn the_leader_adds_up_all_workers_and_forgets_those_that_are_gone() {
    let mut proxy = started(3);
    assert!(proxy.deliver(&crate::support::table().encode()));
    for number in 0..3 {
        let worker = proxy.worker(number);
        for _ in 0..=number {
            let _ = ask(&mut worker.vm);
        }
    }
    let report = reported(&mut proxy);
    assert_eq!(
        (in_flight(&report), report.workers, report.decided),
        (6, 3, 6)
    );
    // The thread of the third worker is gone, with its three requests.
    proxy.workers.pop();
    proxy.run_for(std::time::Duration::from_secs(30));
    let report = reported(&mut proxy);
    assert_eq!((in_flight(&report), report.workers), (3, 2));
}
