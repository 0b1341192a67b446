//! Tests that reports of workers are exact. Each request, beginning and move counts once, and
//! tables say what they have seen.

use std::collections::BTreeMap;
use std::time::Duration;

use trimtab_loadtable::{Moved, Report, Table};
use trimtab_wasmhost::{CallAnswer, Exchange, ScriptedProxy, Vm};

use crate::support::{
    ENDPOINTS, EXPLAIN, config, first_host, is_poll, only, ready_with, reason, reported, route,
    table_with,
};

/// Returns a table with which no report is urgent, because prefill takes no time.
pub(crate) fn quiet(mut table: Table) -> Table {
    table.classes[0].prefill_tokens_per_s = Some(1e8);
    table
}

/// Returns a proxy with two workers that have `table`.
pub(crate) fn two_workers(table: &Table) -> ScriptedProxy {
    let mut proxy = crate::support::started(2);
    assert!(proxy.deliver(&table.encode()));
    proxy
}

/// Lets time pass tick by tick and answers every poll. Returns all reports that came with the
/// polls.
pub(crate) fn reports(proxy: &mut ScriptedProxy, ticks: usize) -> Vec<Report> {
    let mut all = Vec::new();
    for _ in 0..ticks {
        proxy.run_for(Duration::from_millis(100));
        all.extend(answer_polls(proxy));
    }
    all
}

fn answer_polls(proxy: &mut ScriptedProxy) -> Vec<Report> {
    let polls: Vec<_> = proxy.take_calls();
    let polls = polls.into_iter().filter(|(_, call)| is_poll(call));
    polls
        .map(|(vm, call)| {
            proxy.answer(vm, call.token, Some(CallAnswer::new(204, "")));
            Report::decode(&call.body).expect("a report")
        })
        .collect()
}

/// Sends a turn of a conversation with a past of about 2,000 tokens, and with a beginning that all
/// conversations share.
fn turn(vm: &mut Vm, conversation: usize) -> Exchange {
    let (shared, past) = ("Be brief. ".repeat(120), "word ".repeat(1_600));
    vm.request().body(format!(
        r#"{{"model": "m", "messages": [{{"role": "system", "content": "{shared}"}},
            {{"role": "user", "content": "question {conversation}"}}, {{"role": "assistant", "content": "{past}"}},
            {{"role": "user", "content": "and now?"}}], "stream": true}}"#
    ))
}

/// Returns the requests per shared beginning over all reports.
fn beginnings(reports: &[Report]) -> BTreeMap<u64, u32> {
    let mut sums = BTreeMap::new();
    for prefix in reports.iter().flat_map(|report| &report.prefixes) {
        *sums.entry(prefix.key).or_default() += prefix.count;
    }
    sums
}

/// Returns every reported move over all reports, with repetitions: the conversation and where it
/// went.
fn moves(reports: &[Report]) -> Vec<(u64, String)> {
    let moved = |report: &Report| {
        let address = |moved: &Moved| {
            let row = &report.endpoints[usize::from(moved.endpoint)];
            (moved.key, row.address.clone())
        };
        report.moved.iter().map(address).collect::<Vec<_>>()
    };
    reports.iter().flat_map(moved).collect()
}

#[test]
fn what_waits_for_its_first_byte_is_reported_with_its_tokens_until_then() {
    let mut proxy = ready_with(&config(), &quiet(only(1, &[0])));
    let mut first = turn(proxy.vm(), 1);
    let second = turn(proxy.vm(), 1);
    let both = reported(&mut proxy).endpoints.remove(0);
    assert_eq!((both.sent, both.pending), (2, 2), "{both:?}");
    assert_eq!(both.sent_tokens, u64::from(both.pending_tokens));
    route(proxy.vm(), &first);
    first.response(proxy.vm(), 200);
    first.response_chunk(proxy.vm(), b"x", false);
    first.response_chunk(proxy.vm(), b"y", false);
    let one = reported(&mut proxy).endpoints.remove(0);
    assert_eq!((one.started, one.pending, one.in_flight), (1, 1, 2));
    assert!(one.pending_tokens < both.pending_tokens);
    second.close(proxy.vm());
    first.response_chunk(proxy.vm(), b"z", true);
    first.close(proxy.vm());
    let none = reported(&mut proxy).endpoints.remove(0);
    assert_eq!(
        (none.pending, none.pending_tokens, none.in_flight),
        (0, 0, 0)
    );
    assert_eq!((none.sent, none.sent_tokens), (2, both.sent_tokens));
}

#[test]
fn what_texts_have_in_common_that_nothing_marks_is_booked_as_cached_from_the_third_on() {
    let mut proxy = ready_with(&config(), &quiet(only(1, &[0])));
    let shared = "Answer by the manual. ".repeat(450);
    let sent_tokens = |proxy: &mut ScriptedProxy, question: usize, beginning: &str| {
        let before = reported(proxy)
            .endpoints
            .first()
            .map_or(0, |row| row.sent_tokens);
        let text = format!(
            "{beginning} Question {question}: {}",
            "why? ".repeat(100 + question)
        );
        let body = serde_json::json!({"model": "m", "prompt": text}).to_string();
        let request = proxy.vm().request().header(":path", "/v1/completions");
        request.body(body).finish(proxy.vm());
        reported(proxy).endpoints.remove(0).sent_tokens - before
    };
    // About 2,600 tokens each. 2,475 of them are shared.
    let first = sent_tokens(&mut proxy, 1, &shared);
    assert!((2_300..2_700).contains(&first), "{first}");
    sent_tokens(&mut proxy, 2, &shared);
    let third = sent_tokens(&mut proxy, 3, &shared);
    assert!(
        (200..400).contains(&third),
        "{third}: equal up to 2,048, so the middle between that and the end less"
    );
    // A proxy that gets all requests soon knows that nobody has seen what is new to it.
    let other = |proxy: &mut ScriptedProxy, number| {
        let beginning = shared.replace("manual", &format!("book {number}"));
        sent_tokens(proxy, 4, &beginning)
    };
    let others: Vec<u64> = (0..40).map(|number| other(&mut proxy, number)).collect();
    let last = others[39];
    assert!(others.is_sorted(), "{others:?}");
    assert!((2_400..2_800).contains(&last), "{last}: another beginning");
}

#[test]
fn beginnings_and_moves_of_two_workers_are_said_once_each() {
    // For a third of all conversations the place is the endpoint with the long wait.
    let mut proxy = two_workers(&quiet(table_with(1, &[0, 0, 20_000])));
    let mut all = Vec::new();
    for conversation in 0..40 {
        let worker = &mut proxy.worker(conversation % 2).vm;
        turn(worker, conversation).finish(worker);
        if conversation % 3 == 0 {
            all.extend(reports(&mut proxy, 2));
        }
    }
    all.extend(reports(&mut proxy, 10));
    let requests: Vec<u32> = beginnings(&all).into_values().collect();
    assert_eq!(requests, [40], "one beginning");
    let moves = moves(&all);
    let by_key: BTreeMap<_, _> = moves.iter().cloned().collect();
    assert!(by_key.len() >= 5, "{moves:?}");
    assert_eq!(by_key.len(), moves.len(), "each once: {moves:?}");
    assert!(by_key.values().all(|address| address != ENDPOINTS[2]));
    let last = all.last().expect("a report");
    assert_eq!(last.decided, 40);
}

#[test]
fn lists_that_are_written_over_before_anybody_read_them_are_not_lost() {
    let mut proxy = two_workers(&quiet(table_with(1, &[0, 0, 0])));
    let _ = reports(&mut proxy, 3);
    // A poll is under way for ten ticks. Each tick writes a report.
    for conversation in 0..20 {
        let worker = &mut proxy.worker(conversation % 2).vm;
        turn(worker, conversation).finish(worker);
        if conversation % 2 == 1 {
            proxy.run_for(Duration::from_millis(100));
        }
    }
    let all = reports(&mut proxy, 10);
    assert_eq!(beginnings(&all).into_values().sum::<u32>(), 20);
}

#[test]
fn garbage_in_place_of_what_was_taken_costs_no_request_and_no_report() {
    let mut proxy = two_workers(&quiet(table_with(1, &[0, 0, 0])));
    for garbage in [&b""[..], b"x", &[0xff; 40]] {
        let key = b"trimtab/chat/taken";
        assert!(proxy.shared.get(key).is_some(), "the filter's own key");
        proxy.shared.set(key, garbage);
        let worker = &mut proxy.worker(0).vm;
        turn(worker, 1).finish(worker);
        assert!(!reports(&mut proxy, 4).is_empty());
    }
    assert!(proxy.failures().is_empty());
}

/// Returns the predicted wait in milliseconds on the only endpoint that may be chosen.
fn wait_ms(vm: &mut Vm) -> u64 {
    let exchange = crate::support::ask(vm).finish(vm);
    let text = exchange.response_headers.expect("an answer");
    let text = text.text(EXPLAIN).expect("explained").to_owned();
    let (_, rest) = text.split_once("wait_ms=").expect("a wait");
    let digits = rest.split(';').next().expect("a number");
    digits.parse().expect("a number")
}

/// Returns the predicted wait after a second table. The proxy sent 0.4 s of prefill half a second
/// before. `header` returns the table's header about the report that it has taken in. It gets two
/// sequence numbers: of the last report without that request, and of the first report with it.
fn wait_after(header: impl FnOnce(u64, u64) -> Option<Vec<u8>>) -> u64 {
    let mut proxy = ready_with(&config(), &table_with(1, &[0, 60_000, 60_000]));
    let (vm, poll) = proxy.take_calls().pop().expect("a poll");
    let before = Report::decode(&poll.body).expect("a report").sequence;
    // Not streamed, so its first byte says nothing about the prefill.
    let text = "word ".repeat(8_000);
    let body = format!(r#"{{"model": "m", "prompt": "{text}"}}"#);
    let _ = proxy.vm().request().body(body);
    proxy.main.vm.deliver_queues();
    let (_, call) = proxy.take_calls().pop().expect("a call");
    let after = Report::decode(&call.body).expect("a report").sequence;
    assert!(after > before);
    proxy.run_for(Duration::from_millis(500));
    let mut answer = CallAnswer::new(200, table_with(2, &[0, 60_000, 60_000]).encode());
    if let Some(value) = header(before, after) {
        answer.headers.add("x-trimtab-report", value);
    }
    assert!(proxy.answer(vm, poll.token, Some(answer)));
    proxy.worker(0).vm.deliver_queues();
    assert!(proxy.failures().is_empty());
    wait_ms(proxy.vm())
}

#[test]
fn what_was_sent_after_the_report_that_a_table_has_taken_in_is_added_to_it() {
    let number = |number: u64| Some(number.to_string().into_bytes());
    let unseen = wait_after(|before, _| number(before));
    assert!(unseen > 300, "{unseen}");
    let seen = wait_after(|_, after| number(after));
    assert!(seen < 100, "{seen}");
}

#[test]
fn without_a_header_that_makes_sense_it_goes_by_the_age_of_the_rows() {
    let values: [Option<&[u8]>; 8] = [
        None,
        Some(b""),
        Some(b"x"),
        Some(b"-1"),
        Some(b"0"),
        Some(b"\xff\xfe"),
        Some(b"18446744073709551615"),
        Some(&[b'9'; 5_000]),
    ];
    for value in values {
        // The request was sent long before the rows were taken.
        let wait = wait_after(|_, _| value.map(<[u8]>::to_vec));
        assert!(wait < 100, "{wait} after {value:?}");
    }
}

#[test]
fn a_conversation_is_looked_for_where_the_table_says_that_it_went() {
    // The conversation moves away from the endpoint with the long wait.
    let mut proxy = ready_with(&config(), &quiet(table_with(1, &[0, 0, 20_000])));
    let mut found = None;
    for conversation in 0..30 {
        turn(proxy.vm(), conversation).finish(proxy.vm());
        if let Some(moved) = moves(&reports(&mut proxy, 3)).pop() {
            found = Some((conversation, moved));
        }
    }
    let (conversation, (key, address)) = found.expect("one that moved");
    let row = ENDPOINTS.iter().position(|own| *own == address);
    let row = u16::try_from(row.expect("an endpoint")).expect("small");
    // Another proxy; all endpoints are idle again.
    let placed = |moved: Vec<Moved>| {
        let table = Table {
            moved: Some(moved),
            ..table_with(1, &[0, 0, 0])
        };
        let mut proxy = ready_with(&config(), &table);
        let exchange = turn(proxy.vm(), conversation).finish(proxy.vm());
        (first_host(&exchange), reason(&exchange))
    };
    let told = placed(vec![Moved { key, endpoint: row }]);
    let not_told = placed(Vec::new());
    assert_ne!(not_told.0.as_deref(), Some(address.as_str()), "its place");
    assert_eq!(told, (Some(address), Some("conversation".into())));
}
