//! Tests that large placements are reported at once, outside the poll.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use trimtab_loadtable::{Report, Table};
use trimtab_wasmhost::{CallAnswer, Exchange, HttpCall, ScriptedProxy, Status, Vm};

use crate::support::{
    ask, counter, in_flight, is_poll, ready, reported, started, table, table_with,
};

/// Sends a request of about 2,500 tokens: 0.25 s of prefill at the table's speed. Each has its own
/// beginning, so nothing of it is cached.
fn long(vm: &mut Vm) -> Exchange {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let text = format!("{number} {}", "x".repeat(10_000));
    vm.request().body(format!(
        r#"{{"model": "m", "messages": [{{"role": "user", "content": "{text}"}}], "stream": true}}"#
    ))
}

/// Returns the calls with urgent reports since the calls were last taken, with the VM that made
/// each.
fn urgent(proxy: &mut ScriptedProxy) -> Vec<(usize, HttpCall, Report)> {
    let calls = proxy.take_calls().into_iter();
    calls
        .filter(|(_, call)| !is_poll(call))
        .map(|(vm, call)| {
            let path = call.headers.text(":path");
            assert_eq!(path, Some("/v1/pools/chat/report"));
            let report = Report::decode(&call.body).expect("a report");
            (vm, call, report)
        })
        .collect()
}

fn heard() -> Option<CallAnswer> {
    Some(CallAnswer::new(204, ""))
}

fn counted(proxy: &ScriptedProxy, result: &str) -> u64 {
    counter(proxy, "trimtab_report_calls_total", "result", result)
}

#[test]
fn a_long_prompt_is_reported_before_anything_ticks_and_a_short_one_is_not() {
    let mut proxy = ready();
    let polls = proxy.main.vm.open_calls();
    let _ = (proxy.take_calls(), ask(proxy.vm()));
    assert_eq!(proxy.shared.queued_messages(), 0, "a short one");
    let _ = long(proxy.vm());
    proxy.main.vm.deliver_queues();
    let calls = urgent(&mut proxy);
    let (vm, call, report) = calls.first().expect("a call at once");
    assert_eq!((calls.len(), *vm), (1, 0), "by the leader");
    assert_eq!((in_flight(report), report.decided), (2, 2));
    let pending: Vec<_> = report.endpoints.iter().map(|row| row.pending).collect();
    assert_eq!(pending.iter().sum::<u32>(), 2);
    let tokens: u32 = report.endpoints.iter().map(|row| row.pending_tokens).sum();
    assert!((2_200..2_900).contains(&tokens), "{tokens}");
    // The poll goes on meanwhile.
    assert!(
        polls
            .iter()
            .all(|poll| proxy.main.vm.open_calls().contains(poll))
    );
    let token = call.token;
    assert!(proxy.answer(0, token, heard()));
    proxy.run_for(Duration::from_millis(100));
    assert_eq!(counted(&proxy, "sent"), 1);
}

#[test]
fn the_only_decider_has_nobody_to_tell() {
    let mut proxy = ready();
    let alone = |sequence, deciders| {
        let table = table_with(sequence, &[0, 0, 0]);
        Table { deciders, ..table }.encode()
    };
    assert!(proxy.deliver(&alone(2, Some(1))));
    let _ = (proxy.take_calls(), long(proxy.vm()));
    assert_eq!(proxy.shared.queued_messages(), 0);
    assert!(proxy.deliver(&alone(3, None)));
    let _ = long(proxy.vm());
    assert_eq!(proxy.shared.queued_messages(), 1, "who knows");
}

#[test]
fn urgent_reports_that_come_while_a_call_is_under_way_go_out_with_the_next_one() {
    let mut proxy = ready();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let _ = long(proxy.vm());
        proxy.main.vm.deliver_queues();
        proxy.main.script.advance(Duration::from_millis(20));
        tokens.extend(urgent(&mut proxy).iter().map(|(_, call, _)| call.token));
    }
    assert_eq!(tokens.len(), 1, "one under way");
    assert!(proxy.answer(0, tokens[0], heard()));
    let next = urgent(&mut proxy);
    assert_eq!(next.len(), 1);
    assert_eq!(in_flight(&next[0].2), 5, "all that came in between");
    assert!(proxy.answer(0, next[0].1.token, heard()));
    proxy.run_for(Duration::from_secs(1));
    assert!(urgent(&mut proxy).is_empty(), "nothing is left to say");
}

#[test]
fn of_prompts_that_come_at_once_the_first_is_reported_at_once_and_the_rest_on_the_tick() {
    let mut proxy = ready();
    for _ in 0..5 {
        let _ = long(proxy.vm());
    }
    assert_eq!(proxy.shared.queued_messages(), 1);
    proxy.main.vm.deliver_queues();
    let first = urgent(&mut proxy);
    assert_eq!(in_flight(&first[0].2), 1);
    assert!(proxy.answer(0, first[0].1.token, heard()));
    // First the worker's tick, then the lease holder's turn.
    proxy.run_for(Duration::from_millis(200));
    let rest = urgent(&mut proxy);
    assert_eq!(in_flight(&rest[0].2), 5);
}

#[test]
fn urgent_reports_that_nobody_heard_are_said_with_the_next_poll_and_again_after_a_rest() {
    for answer in [
        None,
        Some(CallAnswer::new(404, "no such path")),
        Some(CallAnswer::default()),
    ] {
        let mut proxy = ready();
        let _ = long(proxy.vm());
        proxy.main.vm.deliver_queues();
        let lost = urgent(&mut proxy);
        assert!(proxy.answer(0, lost[0].1.token, answer.clone()));
        proxy.run_for(Duration::from_millis(900));
        assert!(urgent(&mut proxy).is_empty(), "not in a loop");
        assert_eq!(counted(&proxy, "failed"), 1);
        proxy.run_for(Duration::from_millis(300));
        let again = urgent(&mut proxy);
        assert_eq!(in_flight(&again[0].2), 1);
        assert!(proxy.answer(0, again[0].1.token, answer));
        assert_eq!(in_flight(&reported(&mut proxy)), 1, "the poll says it too");
        assert!(proxy.failures().is_empty());
    }
}

#[test]
fn a_call_that_never_ends_does_not_end_urgent_reports() {
    let mut proxy = ready();
    let _ = long(proxy.vm());
    proxy.main.vm.deliver_queues();
    assert_eq!(urgent(&mut proxy).len(), 1);
    let _ = long(proxy.vm());
    proxy.run_for(Duration::from_secs(3));
    assert!(urgent(&mut proxy).is_empty(), "one under way");
    proxy.run_for(Duration::from_secs(2));
    let next = urgent(&mut proxy);
    assert_eq!(in_flight(&next[0].2), 2);
}

#[test]
fn a_worker_that_leads_sends_its_own_urgent_report_and_the_call_outlives_the_request() {
    let mut proxy = started(1);
    assert!(proxy.deliver(&table().encode()));
    // The main thread's VM is gone: from here on it neither ticks nor answers.
    let script = proxy.main.script.clone();
    let worker = proxy.worker(0);
    for _ in 0..40 {
        script.advance(Duration::from_millis(100));
        worker.vm.tick();
    }
    let exchange = long(&mut worker.vm);
    worker.vm.deliver_queues();
    exchange.finish(&mut worker.vm);
    let calls = urgent(&mut proxy);
    let (vm, call, report) = calls.first().expect("a call");
    assert_eq!((*vm, in_flight(report)), (1, 1));
    let token = call.token;
    assert!(proxy.answer(1, token, heard()));
    proxy.worker(0).vm.tick();
    assert_eq!(counted(&proxy, "sent"), 1);
    assert!(proxy.failures().is_empty());
}

#[test]
fn without_queues_or_calls_the_poll_says_what_is_new() {
    for call in [
        "proxy_enqueue_shared_queue",
        "proxy_dequeue_shared_queue",
        "proxy_http_call",
    ] {
        let mut proxy = ready();
        for worker in proxy.all() {
            worker.script.every(call, Status::INTERNAL_FAILURE);
        }
        let _ = long(proxy.vm());
        proxy.main.vm.deliver_queues();
        assert!(urgent(&mut proxy).is_empty(), "{call}");
        for worker in proxy.all() {
            worker.script.clear_faults();
        }
        let report = reported(&mut proxy);
        assert_eq!(in_flight(&report), 1, "{call}");
        assert!(
            report
                .endpoints
                .iter()
                .any(|row| row.pending_tokens > 2_000)
        );
        assert!(proxy.failures().is_empty(), "{call}");
    }
}

#[test]
fn a_table_that_does_not_say_how_fast_endpoints_are_makes_placements_large_as_if_they_were_middling()
 {
    let mut unknown = table();
    unknown.classes[0].prefill_tokens_per_s = None;
    let mut proxy = crate::support::ready_with(&crate::support::config(), &unknown);
    let _ = long(proxy.vm());
    assert_eq!(proxy.shared.queued_messages(), 1);
}
