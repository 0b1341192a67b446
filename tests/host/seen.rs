//! Tests that times of answers and errors are reported once each, whichever worker saw them.

use std::collections::BTreeMap;

use trimtab_loadtable::{ErrorKind, Report, What, seen};
use trimtab_wasmhost::Exchange;

use crate::reports::{quiet, reports, two_workers};
use crate::support::{ENDPOINTS, ask, chat, config, only, ready_with, route};

/// Whether the kind is one of predicted times.
fn is_of_predictions(kind: u8) -> bool {
    matches!(
        What::of(kind),
        Some(
            What::PredictedSum
                | What::PredictedSeenSum
                | What::PredictionErrorSum
                | What::PredictionError(_)
        )
    )
}

/// Returns the sums over all reports of an endpoint, by kind.
fn said(reports: &[Report], address: &str) -> BTreeMap<u8, u32> {
    let mut sums = BTreeMap::new();
    let rows = reports.iter().flat_map(|report| &report.endpoints);
    for one in rows
        .filter(|row| row.address == address)
        .flat_map(|row| &row.seen)
    {
        *sums.entry(one.kind).or_default() += one.count;
    }
    sums
}

#[test]
fn times_of_two_workers_are_told_once_each_and_errors_by_kind() {
    let mut proxy = two_workers(&quiet(only(1, &[0])));
    let mut open: Vec<Exchange> = Vec::new();
    for number in 0..12 {
        let vm = &mut proxy.worker(number % 2).vm;
        let mut exchange = ask(vm);
        route(vm, &exchange);
        exchange.response(vm, 200);
        open.push(exchange);
    }
    // Both on ticks: the first byte after 300 ms, the end after 500 ms more.
    let mut all = reports(&mut proxy, 3);
    for (number, exchange) in open.iter_mut().enumerate() {
        let vm = &mut proxy.worker(number % 2).vm;
        exchange.response_chunk(vm, [b'x'; 300], false);
    }
    all.extend(reports(&mut proxy, 5));
    for (number, mut exchange) in open.into_iter().enumerate() {
        let vm = &mut proxy.worker(number % 2).vm;
        match number {
            0 | 1 => {
                let reset = 0x10_u64.to_le_bytes();
                vm.set_attribute(exchange.stream, "response.flags", reset);
            }
            // The client of this request is gone. That is neither an error nor a whole answer.
            2 => {}
            _ => exchange.response_chunk(vm, b"x", true),
        }
        exchange.close(vm);
    }
    // The first byte of an error is no token.
    let vm = &mut proxy.worker(1).vm;
    let mut exchange = ask(vm);
    route(vm, &exchange);
    vm.set_attribute(exchange.stream, "response.code", 500_u64.to_le_bytes());
    exchange.response(vm, 500);
    exchange.response_chunk(vm, b"no", true);
    exchange.close(vm);
    all.extend(reports(&mut proxy, 10));
    let mut said = said(&all, ENDPOINTS[0]);
    said.retain(|kind, _| !is_of_predictions(*kind));
    let expected = [
        (What::FirstByte(seen::bucket(300)), 12),
        (What::End(seen::bucket(800)), 9),
        (What::FirstByteSum, 12 * 300),
        (What::EndSum, 9 * 800),
        (What::Error(ErrorKind::Reset), 2),
        (What::Error(ErrorKind::ServerError), 1),
    ];
    let expected = expected.map(|(what, count)| (what.kind(), count));
    assert_eq!(said, BTreeMap::from(expected));
}

#[test]
fn predicted_first_bytes_are_compared_where_answers_are_streamed_from_where_they_were_placed() {
    // Only the wait is predicted here: 400 ms.
    let mut table = quiet(only(1, &[0]));
    table.classes[0].decode_s_per_sequence = Some(0.0);
    table.endpoints[0].wait_ms = Some(400);
    let mut proxy = ready_with(&config(), &table);
    let whole = chat(500).replace("true", "false");
    let mut open: Vec<Exchange> = (0..3).map(|_| ask(proxy.vm())).collect();
    open.push(proxy.vm().request().body(whole));
    let vm = proxy.vm();
    for (number, exchange) in open.iter_mut().enumerate() {
        route(vm, exchange);
        if number == 0 {
            // The request was tried again elsewhere. The filter always asks about the first answer,
            // and after this one about all.
            vm.set_attribute(exchange.stream, "upstream.address", ENDPOINTS[1]);
            let attempts = 2_u64.to_le_bytes();
            vm.set_attribute(exchange.stream, "upstream.request_attempt_count", attempts);
        }
        exchange.response(vm, 200);
    }
    let mut all = reports(&mut proxy, 3);
    for at in [0, 1, 3] {
        open[at].response_chunk(proxy.vm(), [b'x'; 300], false);
    }
    all.extend(reports(&mut proxy, 3));
    open[2].response_chunk(proxy.vm(), [b'x'; 300], false);
    // With a table that is too old nothing is predicted.
    all.extend(reports(&mut proxy, 20));
    let mut late = ask(proxy.vm());
    route(proxy.vm(), &late);
    late.response(proxy.vm(), 200);
    late.response_chunk(proxy.vm(), [b'x'; 300], true);
    late.close(proxy.vm());
    for mut exchange in open {
        exchange.response_chunk(proxy.vm(), b"x", true);
        exchange.close(proxy.vm());
    }
    all.extend(reports(&mut proxy, 10));
    let mut here = said(&all, ENDPOINTS[0]);
    assert_eq!(here[&What::FirstByteSum.kind()], 300 + 600 + 300);
    here.retain(|kind, _| is_of_predictions(*kind));
    let expected = [
        (What::PredictedSum, 2 * 400),
        (What::PredictedSeenSum, 300 + 600),
        (What::PredictionErrorSum, 100 + 200),
        (What::PredictionError(seen::bucket(100)), 1),
        (What::PredictionError(seen::bucket(200)), 1),
    ];
    let expected = expected.map(|(what, count)| (what.kind(), count));
    assert_eq!(here, BTreeMap::from(expected));
    let there = said(&all, ENDPOINTS[1]);
    assert_eq!(there[&What::FirstByteSum.kind()], 300);
    assert!(!there.keys().any(|kind| is_of_predictions(*kind)));
}

#[test]
fn behind_a_long_prompt_a_body_says_at_its_end_that_the_answer_is_streamed() {
    let mut table = quiet(only(1, &[0]));
    table.classes[0].decode_s_per_sequence = Some(0.0);
    table.endpoints[0].wait_ms = Some(400);
    let words = "word ".repeat(8_000);
    let long = |fields: &str| {
        format!(
            r#"{{"model": "m", "messages": [{{"role": "user", "content": "{words}"}}]{fields}}}"#
        )
    };
    for (body, pieces, compared) in [
        (long(r#", "stream": true"#), 3, true),
        (long(r#", "stream": true"#), 1, true),
        (long(r#", "stream": false"#), 3, false),
        (long(r#", "metadata": {"stream": true}"#), 3, false),
        (long(""), 3, false),
    ] {
        let mut proxy = ready_with(&config(), &table);
        let vm = proxy.vm();
        let mut exchange = vm.request().leave_open();
        let mut parts = body
            .as_bytes()
            .chunks(body.len().div_ceil(pieces))
            .peekable();
        while let Some(part) = parts.next() {
            exchange.body(vm, part, parts.peek().is_none());
        }
        route(vm, &exchange);
        exchange.response(vm, 200);
        exchange.response_chunk(vm, [b'x'; 300], true);
        exchange.close(vm);
        let said = said(&reports(&mut proxy, 10), ENDPOINTS[0]);
        let found = said.keys().any(|kind| is_of_predictions(*kind));
        assert_eq!(found, compared, "{} in {pieces}", &body[body.len() - 40..]);
    }
}

#[test]
fn of_a_compressed_stream_no_first_byte_is_told_and_its_end_is() {
    let mut proxy = ready_with(&config(), &quiet(only(1, &[0])));
    let mut exchange = ask(proxy.vm());
    route(proxy.vm(), &exchange);
    exchange.response(proxy.vm(), 200);
    let mut all = reports(&mut proxy, 3);
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xcb; 300]].concat();
    exchange.response_chunk(proxy.vm(), gzip, true);
    exchange.close(proxy.vm());
    all.extend(reports(&mut proxy, 10));
    let kinds: Vec<u8> = said(&all, ENDPOINTS[0]).into_keys().collect();
    let first = |kind: u8| {
        matches!(
            What::of(kind),
            Some(What::FirstByte(_) | What::FirstByteSum)
        )
    };
    let ends = [What::End(seen::bucket(300)).kind(), What::EndSum.kind()];
    assert!(!kinds.iter().any(|kind| first(*kind)), "{kinds:?}");
    assert!(ends.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}

#[test]
fn an_error_of_the_server_in_place_of_tokens_is_told_as_its_failure_and_one_of_the_client_is_not() {
    let mut proxy = ready_with(&config(), &quiet(only(1, &[0])));
    for code in [500, 400, 503] {
        let mut exchange = ask(proxy.vm());
        route(proxy.vm(), &exchange);
        let status = 200_u64.to_le_bytes();
        proxy
            .vm()
            .set_attribute(exchange.stream, "response.code", status);
        exchange.response(proxy.vm(), 200);
        let error = format!("data: {{\"error\":{{\"message\":\"no\",\"code\":{code}}}}}\n\n");
        // Cut in the middle of the code.
        let (begin, end) = error.split_at(error.len() - 6);
        exchange.response_chunk(proxy.vm(), begin, false);
        exchange.response_chunk(proxy.vm(), end, false);
        exchange.response_chunk(proxy.vm(), "data: [DONE]\n\n", true);
        exchange.close(proxy.vm());
    }
    let said = said(&reports(&mut proxy, 10), ENDPOINTS[0]);
    let errors = said.get(&What::Error(ErrorKind::ServerError).kind());
    assert_eq!(errors, Some(&2), "{said:?}");
    assert!(!said.contains_key(&What::FirstByteSum.kind()), "{said:?}");
}
