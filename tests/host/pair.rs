//! Tests the form with two plugins: tap sees the body and decides, pick holds the headers and sets
//! the destination.

mod plugins;

use std::time::Duration;

use trimtab_wasmhost::{LogLevel, ScriptedProxy, Status};

use crate::support::{DESTINATION, ENDPOINTS, chat, counter, module, reason, reported, table};
use plugins::{Pair, STOP_ALL, headers, role};

#[test]
fn the_destination_is_set_when_tap_has_seen_enough_and_the_body_is_whole() {
    let mut pair = Pair::new();
    for bytes in [31, 500, 15_000, 16_384, 20_000, 40_000, 400_000] {
        let body = chat(bytes).into_bytes();
        let mut request = pair.open(headers(&[]), false);
        assert!(request.headers.is_none(), "pick holds the headers");
        let mut chunks = body.chunks(4_096).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunks.peek().is_none();
            pair.body(&mut request, chunk, last);
        }
        let host = request.destination().expect("placed");
        let first = host.split(',').next().expect("a host");
        assert!(ENDPOINTS[..2].contains(&first), "{host}");
        assert!(request.ended);
        assert_eq!(request.body, body, "{bytes} bytes");
        pair.close(&request);
    }
    assert_eq!(pair.warnings(), "");
    let report = reported(&mut pair.tap);
    assert_eq!(crate::support::in_flight(&report), 0);
    assert_eq!(report.decided, 7);
}

#[test]
fn a_request_goes_on_as_soon_as_16_kib_have_come() {
    let mut pair = Pair::new();
    let mut request = pair.open(headers(&[]), false);
    pair.body(&mut request, &chat(30_000).as_bytes()[..16_383], false);
    assert!(request.headers.is_none());
    pair.body(&mut request, b"w", false);
    assert!(request.destination().is_some() && !request.ended);
    pair.body(&mut request, b"ord", true);
    assert!(request.ended && request.body.len() == 16_387);
}

#[test]
fn requests_that_are_no_completions_pass_both_and_forged_destinations_do_not() {
    let mut pair = Pair::new();
    let forged = [(DESTINATION, "10.9.9.9:1"), (":path", "/v1/models")];
    let request = pair.open(headers(&forged), true);
    assert!(request.ended && request.destination().is_none());
    // Without a body to read tap decides at once. Pick does not change its choice.
    let request = pair.open(headers(&[(DESTINATION, "10.9.9.9:1")]), true);
    let host = request.destination().expect("placed").to_owned();
    assert!(host.starts_with("10.0.0."), "{host}");
    assert_eq!(pair.warnings(), "");
}

#[test]
fn tap_without_pick_is_told_once_and_requests_flow() {
    let tap = ScriptedProxy::start(module(), &role("tap", ""), 1, STOP_ALL).expect("starts");
    let pick = tap
        .start_beside(module(), &role("single", ""), STOP_ALL)
        .expect("starts");
    let mut pair = Pair { tap, pick };
    assert!(pair.tap.deliver(&table().encode()));
    for _ in 0..3 {
        let exchange = pair.tap.vm().request().body(chat(500));
        assert!(exchange.request_ended);
        assert_eq!(exchange.upstream_header(DESTINATION), None);
        let answered = exchange.finish(pair.tap.vm());
        assert_eq!(reason(&answered).as_deref(), Some("not_placed"));
    }
    let log = pair.warnings();
    assert_eq!(log.matches("no plugin with role pick").count(), 1, "{log}");
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.fault("no_pick"), 3);
    assert_eq!(pair.decisions(), 0, "nothing was placed");
}

#[test]
fn a_decision_that_comes_after_pick_has_let_go_does_not_pass_for_one() {
    let mut pair = Pair::new();
    let mut late = pair.open(headers(&[]), false);
    // Tap stands still and does not see the time go by.
    for _ in 0..20 {
        pair.pick.vm().tick();
    }
    pair.settle(&mut late);
    assert!(late.headers.is_some() && late.destination().is_none());
    pair.body(&mut late, chat(500).as_bytes(), true);
    assert!(late.ended && late.destination().is_none());
    assert_eq!(pair.answered(&late).as_deref(), Some("not_placed"));
    pair.close(&late);
    let mut placed = pair.open(headers(&[]), false);
    pair.body(&mut placed, chat(500).as_bytes(), true);
    assert!(placed.destination().is_some());
    assert_ne!(pair.answered(&placed).as_deref(), Some("not_placed"));
    pair.close(&placed);
    pair.run_for(Duration::from_millis(200));
    assert_eq!((pair.fault("late"), pair.decisions()), (1, 1));
}

#[test]
fn pick_without_tap_is_told_once_and_requests_flow() {
    let mut pick = ScriptedProxy::start(module(), &role("pick", ""), 1, STOP_ALL).expect("starts");
    for _ in 0..3 {
        let exchange = pick
            .vm()
            .request()
            .header(DESTINATION, "10.9.9.9:1")
            .body(chat(500));
        assert!(exchange.request_ended);
        assert_eq!(exchange.upstream_header(DESTINATION), None, "forged");
        exchange.finish(pick.vm());
    }
    let other = pick.vm().request().header(":path", "/v1/models").end();
    assert!(other.request_ended);
    pick.run_for(Duration::from_millis(200));
    let log = pick.worker(0).script.log_text(LogLevel::Warn);
    assert_eq!(log.matches("no plugin with role tap").count(), 1, "{log}");
    let told = counter(&pick, "trimtab_setup_errors_total", "reason", "no_tap");
    assert_eq!(told, 3);
    assert!(pick.take_calls().is_empty(), "it needs no table");
}

#[test]
fn plugins_of_different_pools_do_not_wait_for_each_other() {
    let other = role("pick", "").replace(r#""pool": "chat""#, r#""pool": "code""#);
    let mut pair = Pair::with(&role("tap", ""), &other);
    let mut request = pair.open(headers(&[]), false);
    pair.body(&mut request, chat(500).as_bytes(), true);
    assert!(request.ended && request.destination().is_none());
    let log = pair.warnings();
    assert_eq!(log.matches("serves other pools").count(), 1, "{log}");
    pair.run_for(Duration::from_millis(200));
    let faults = pair.faults();
    let known = ["reason.other_pools", "reason.no_pick"];
    for name in &faults {
        assert!(known.iter().any(|reason| name.ends_with(reason)), "{name}");
    }
    for reason in known {
        assert!(
            faults.iter().any(|name| name.ends_with(reason)),
            "{reason}: {faults:?}"
        );
    }
}

#[test]
fn what_belongs_to_no_pool_passes_both_and_pick_misses_no_tap() {
    let conditions = r#", "services": ["models/llama:8000"], "authorities": ["models.example"]"#;
    let mut pair = Pair::with(&role("tap", conditions), &role("pick", conditions));
    let (tap, pick) = (
        pair.tap.worker(0).script.clone(),
        pair.pick.worker(0).script.clone(),
    );
    for (cluster, authority, placed) in [
        (
            "outbound|8000||llama.models.svc.cluster.local",
            "models.example",
            true,
        ),
        (
            "outbound|8000||other.models.svc.cluster.local",
            "models.example",
            false,
        ),
        (
            "outbound|8000||llama.models.svc.cluster.local",
            "other.example",
            false,
        ),
    ] {
        tap.set_property("xds.cluster_name", cluster);
        pick.record();
        let mut request = pair.open(headers(&[(":authority", authority)]), false);
        let at_pick = pick.take_recorded().len();
        assert_eq!(request.headers.is_none(), placed, "held only for its pool");
        pair.body(&mut request, chat(500).as_bytes(), true);
        assert!(request.ended);
        assert_eq!(
            request.destination().is_some(),
            placed,
            "{cluster} {authority}"
        );
        assert!(placed || at_pick == 1, "{at_pick} hostcalls at pick");
        pair.close(&request);
    }
    pair.run_for(Duration::from_millis(200));
    assert_eq!((pair.warnings(), pair.faults()), (String::new(), vec![]));
}

#[test]
fn a_slow_body_is_placed_in_time_and_a_silent_tap_does_not_hold_a_request_for_ever() {
    let mut pair = Pair::new();
    let mut slow = pair.open(headers(&[]), false);
    pair.body(&mut slow, br#"{"model": "#, false);
    pair.run_for(Duration::from_millis(1_300));
    pair.settle(&mut slow);
    assert!(slow.destination().is_some(), "by what has come");
    pair.body(&mut slow, br#""m"}"#, true);
    assert!(slow.ended);

    // The proxy refuses the messages of this tap.
    let mut request = pair.open(headers(&[]), false);
    let script = pair.tap.worker(0).script.clone();
    script.every("proxy_enqueue_shared_queue", Status::INTERNAL_FAILURE);
    pair.body(&mut request, chat(500).as_bytes(), true);
    assert!(request.headers.is_none());
    pair.run_for(Duration::from_millis(1_900));
    pair.settle(&mut request);
    assert!(request.ended && request.destination().is_none());
    assert_eq!(pair.fault("late"), 1);
    let log = pair.warnings();
    assert_eq!(log.matches("in time").count(), 1, "{log}");
}

#[test]
fn clients_that_leave_at_any_stage_leave_nothing_behind() {
    let mut pair = Pair::new();
    for stage in 0..4 {
        let mut request = pair.open(headers(&[]), false);
        if stage > 0 {
            pair.body(&mut request, &chat(500).as_bytes()[..100], false);
        }
        if stage > 1 {
            pair.body(&mut request, &chat(500).as_bytes()[100..], true);
        }
        match stage {
            // The message is on its way when pick's half is gone.
            3 => pair.pick.vm().close(request.pick),
            _ => pair.close(&request),
        }
        pair.tap.vm().close(request.tap);
    }
    pair.run_for(Duration::from_secs(3));
    assert_eq!((pair.fault("late"), pair.tap.failures().len()), (0, 0));
    assert!(pair.pick.failures().is_empty());
    let report = reported(&mut pair.tap);
    assert_eq!(crate::support::in_flight(&report), 0);
}

#[test]
fn hostcalls_that_fail_cost_no_request_in_either_plugin() {
    let calls = [
        "proxy_get_property",
        "proxy_set_property",
        "proxy_enqueue_shared_queue",
        "proxy_dequeue_shared_queue",
        "proxy_set_effective_context",
        "proxy_replace_header_map_value",
        "proxy_get_header_map_value",
        "proxy_get_header_map_pairs",
        "proxy_get_buffer_bytes",
        "proxy_remove_header_map_value",
    ];
    for call in calls {
        for status in [1, 2, 3, 6, 7, 8, 10, 12, 999] {
            for at_tap in [true, false] {
                let mut pair = Pair::new();
                let worker = if at_tap {
                    &mut pair.tap
                } else {
                    &mut pair.pick
                };
                let script = worker.worker(0).script.clone();
                script.every(call, Status(status));
                let mut request = pair.open(headers(&[]), false);
                pair.body(&mut request, chat(500).as_bytes(), true);
                pair.run_for(Duration::from_millis(2_000));
                // A pick that cannot name its request cannot release it either. It keeps trying.
                script.clear_faults();
                pair.run_for(Duration::from_millis(200));
                pair.settle(&mut request);
                assert!(request.ended, "{call} {status} at tap: {at_tap}");
                assert!(pair.tap.failures().is_empty() && pair.pick.failures().is_empty());
            }
        }
    }
}
