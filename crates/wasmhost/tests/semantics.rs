//! Tests the host with small guests in WAT. Each guest does one thing, so Envoy's behaviour is easy
//! to see.

mod guest;

use std::time::Duration;

use guest::{Guest, vm};
use trimtab_wasmhost::{
    Action, CallAnswer, Direction, HeaderMap, HostError, Limits, LogLevel, Module, Options, Script,
    Shared, Status, Vm,
};

const STOP_ALL: Options = Options {
    allow_on_headers_stop_iteration: false,
    buffer_limit_bytes: 64,
};
const STOP_HEADERS: Options = Options {
    allow_on_headers_stop_iteration: true,
    buffer_limit_bytes: 64,
};

#[test]
fn after_continue_from_the_headers_callback_the_map_is_gone() {
    let guest = Guest::new()
        .on_request_headers("(call $get_x) (drop) (i32.const 0)")
        .on_request_body("(call $get_x) (drop) (i32.const 0)");
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    script.record();
    let exchange = vm.request().header("x", "1").body("b");
    let got: Vec<Status> = script
        .take_recorded()
        .iter()
        .map(|own| own.status)
        .collect();
    assert_eq!(got, [Status::OK, Status::BAD_ARGUMENT]);
    assert_eq!(exchange.request_body, b"b");
}

#[test]
fn with_the_option_a_pause_at_headers_lets_the_body_callback_set_headers() {
    let guest = Guest::new()
        .on_request_headers("(i32.const 1)")
        .on_request_body("(call $set_x) (drop) (i32.const 0)");
    let (mut vm, _script) = vm(&guest, STOP_HEADERS);
    let mut exchange = vm.request().leave_open();
    assert_eq!(exchange.request_headers, None);
    exchange.body(&mut vm, "chunk", false);
    assert_eq!(exchange.upstream_header("x"), Some("v"));
    assert_eq!(
        (exchange.request_body.as_slice(), exchange.request_ended),
        (&b"chunk"[..], false)
    );
    exchange.body(&mut vm, "", true);
    assert!(exchange.request_ended);
}

#[test]
fn without_the_option_a_pause_at_headers_stops_the_body_callback_too() {
    let guest = Guest::new()
        .on_request_headers("(i32.const 1)")
        .on_request_body("(unreachable)");
    let (mut vm, _script) = vm(&guest, STOP_ALL);
    let exchange = vm.request().body(vec![b'x'; 200]);
    assert_eq!(exchange.actions, [Action::Pause, Action::Pause]);
    assert_eq!(
        (exchange.request_headers, exchange.local_reply, vm.failure()),
        (None, false, None)
    );
}

#[test]
fn a_resumed_stream_gets_its_held_body_as_one_chunk() {
    let guest = Guest::new()
        .on_request_headers("(i32.const 1)")
        .on_request_body("(call $log_size (local.get 1)) (i32.const 0)")
        .on_tick("(call $continue_stream_2)");
    let (mut vm, script) = vm(&guest, STOP_ALL);
    let mut exchange = vm.request().body_chunk("12345").body("67");
    assert_eq!(exchange.stream, 2);
    vm.tick();
    exchange.collect(&mut vm);
    assert_eq!(
        script.count("proxy_log"),
        7,
        "the callback is told of seven bytes"
    );
    assert_eq!(
        (exchange.request_body.as_slice(), exchange.request_ended),
        (&b"1234567"[..], true)
    );
}

#[test]
fn while_the_body_is_held_a_callback_sees_all_of_it_and_afterwards_only_the_chunk() {
    // Pauses below 10 bytes. Logs one line for each byte of the callback's size.
    let guest = Guest::new()
        .on_request_body("(call $log_size (local.get 1)) (i32.lt_u (local.get 1) (i32.const 10))");
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    let mut exchange = vm.request().leave_open();
    let mut lines = 0;
    for (chunk, told) in [
        ("1234", 4),
        ("5678", 8),
        ("9012", 12),
        ("abcdefghijklmno", 15),
    ] {
        exchange.body(&mut vm, chunk, false);
        lines += told;
        assert_eq!(script.count("proxy_log"), lines, "after {chunk:?}");
    }
    assert_eq!(exchange.request_body, b"123456789012abcdefghijklmno");
}

#[test]
fn a_body_held_beyond_the_limit_is_answered_413_through_the_filter() {
    let guest = Guest::new()
        .on_request_body("(i32.const 1)")
        .on_response_headers("(call $log_size (i32.const 1)) (i32.const 0)");
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    let mut exchange = vm.request().body_chunk([0; 64]).leave_open();
    assert!(!exchange.local_reply);
    exchange.body(&mut vm, [0; 1], false);
    assert!(exchange.local_reply);
    assert_eq!(
        exchange
            .response_headers
            .as_ref()
            .and_then(|map| map.text(":status")),
        Some("413")
    );
    assert_eq!(script.count("proxy_log"), 1);
}

#[test]
fn a_held_body_that_grows_beyond_the_limit_is_answered_413_before_the_filter_sees_it() {
    // The guest would continue with the second piece.
    let guest = Guest::new().on_request_body("(i32.lt_u (local.get 1) (i32.const 10))");
    let (mut vm, _) = vm(&guest, STOP_HEADERS);
    let mut exchange = vm.request().body_chunk("1").leave_open();
    exchange.body(&mut vm, [0; 64], false);
    assert_eq!(status(&exchange), Some("413"));
}

#[test]
fn a_body_held_by_2_may_grow_beyond_the_limit_and_each_callback_sees_its_own_piece() {
    // Holds pieces of less than 10 bytes. Logs one line for each byte of the callback's size.
    let guest = Guest::new().on_request_body(
        "(call $log_size (local.get 1)) (i32.mul (i32.const 2) (i32.lt_u (local.get 1) (i32.const 10)))",
    );
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    let mut exchange = vm.request().leave_open();
    for _ in 0..9 {
        exchange.body(&mut vm, [b'x'; 9], false);
    }
    assert!(!exchange.local_reply && exchange.request_body.is_empty());
    exchange.body(&mut vm, [b'x'; 100], true);
    assert_eq!(script.count("proxy_log"), 9 * 9 + 100);
    assert_eq!(exchange.request_body, [b'x'; 9 * 9 + 100]);
    assert!(exchange.request_ended);
}

fn status(exchange: &trimtab_wasmhost::Exchange) -> Option<&str> {
    exchange.response_headers.as_ref()?.text(":status")
}

#[test]
fn a_trap_is_a_503_for_its_request_and_later_ones_pass_without_the_guest() {
    let stopped = |guest: Guest| guest.on_request_headers("(i32.const 1)");
    for guest in [
        Guest::new().on_request_headers("(unreachable)"),
        stopped(Guest::new()).on_request_body("(unreachable)"),
    ] {
        let (mut vm, script) = vm(&guest, STOP_HEADERS);
        let exchange = vm.request().body("body");
        assert!(
            vm.failure()
                .is_some_and(|failure| failure.contains("unreachable")),
            "{:?}",
            vm.failure()
        );
        assert_eq!(
            (exchange.local_reply, status(&exchange)),
            (true, Some("503"))
        );
        assert_eq!(
            exchange.request_headers, None,
            "nothing of it went upstream"
        );
        assert!(exchange.request_body.is_empty());
        exchange.close(&mut vm);
        let calls = script.count_all();
        let next = vm.request().body("more").finish(&mut vm);
        assert_eq!(
            (
                next.request_body.as_slice(),
                next.response_body.as_slice(),
                script.count_all()
            ),
            (&b"more"[..], &b"firstlast"[..], calls)
        );
    }
}

#[test]
fn a_trap_in_the_answer_cuts_the_stream_once_its_headers_are_gone() {
    let guest = Guest::new().callback(
        "proxy_on_response_body",
        "(param i32 i32 i32) (result i32)",
        "(unreachable)",
    );
    let (mut vm, _) = vm(&guest, STOP_HEADERS);
    let mut exchange = vm.request().end();
    exchange.response(&mut vm, 200);
    exchange.response_chunk(&mut vm, b"x", false);
    assert!(exchange.reset && exchange.response_body.is_empty());
}

#[test]
fn a_callback_that_never_returns_runs_out_of_fuel() {
    let guest = Guest::new().on_request_headers("(loop (br 0)) (i32.const 0)");
    let limits = Limits {
        fuel_per_callback: Some(100_000),
        ..Limits::default()
    };
    let module = Module::from_bytes(&guest.wasm(), limits).expect("valid");
    let mut vm = Vm::new(&module, &Shared::new(), Script::new(), STOP_HEADERS).expect("links");
    let exchange = vm.request().end();
    assert!(
        vm.failure().is_some_and(|failure| failure.contains("fuel")),
        "{:?}",
        vm.failure()
    );
    assert_eq!(status(&exchange), Some("503"));
}

#[test]
fn memory_does_not_grow_beyond_its_limit() {
    let guest =
        Guest::new().on_request_headers("(memory.grow (i32.const 100)) (i32.const -1) (i32.ne)");
    let limits = Limits {
        memory_bytes: 8 << 16,
        ..Limits::default()
    };
    let module = Module::from_bytes(&guest.wasm(), limits).expect("valid");
    let mut vm = Vm::new(&module, &Shared::new(), Script::new(), STOP_HEADERS).expect("links");
    let exchange = vm.request().end();
    assert_eq!(exchange.actions, [Action::Continue], "grow answers -1");
    assert!(vm.memory_bytes() <= 8 << 16);
}

#[test]
fn a_stream_is_logged_then_done_then_deleted_and_its_maps_are_readable_in_the_log() {
    let guest = Guest::new()
        .on_request_headers("(i32.const 0)")
        .callback("proxy_on_log", "(param i32)", "(call $get_x) (drop)")
        .callback(
            "proxy_on_done",
            "(param i32) (result i32)",
            "(call $log_size (i32.const 1)) (i32.const 1)",
        )
        .callback("proxy_on_delete", "(param i32)", "(call $now)");
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    let exchange = vm.request().header("x", "1").end();
    script.record();
    exchange.close(&mut vm);
    let order: Vec<_> = script
        .take_recorded()
        .iter()
        .map(|own| (own.call, own.status))
        .collect();
    let expected = [
        ("proxy_get_header_map_value", Status::OK),
        ("proxy_log", Status::OK),
        ("proxy_get_current_time_nanoseconds", Status::OK),
    ];
    assert_eq!(order, expected);
    assert_eq!(vm.open_streams(), 0);
}

#[test]
fn call_outs_answer_by_cluster_and_their_answer_is_visible_only_in_its_callback() {
    let guest = Guest::new()
        .on_tick("(call $call_out)")
        .callback(
            "proxy_on_http_call_response",
            "(param i32 i32 i32 i32 i32)",
            "(call $log_size (local.get 3)) (call $call_body)",
        )
        .on_request_headers("(call $call_body) (i32.const 0)");
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    script.record();
    vm.tick();
    script.add_cluster("c");
    vm.tick();
    let calls = script.take_calls();
    assert_eq!(calls.len(), 1);
    assert!(vm.answer_call(calls[0].token, Some(CallAnswer::new(200, "abc"))));
    assert!(!vm.answer_call(calls[0].token, None), "answered before");
    let _ = vm.request().end();
    let got: Vec<_> = script
        .take_recorded()
        .iter()
        .filter(|own| own.call != "proxy_log")
        .map(|own| own.status)
        .collect();
    assert_eq!(
        got,
        [
            Status::BAD_ARGUMENT,
            Status::OK,
            Status::OK,
            Status::NOT_FOUND
        ]
    );
    assert_eq!(script.count("proxy_log"), 3);
}

#[test]
fn pointers_outside_of_the_guest_are_refused_not_followed() {
    let guest = Guest::new().on_request_headers("(call $wild) (i32.const 0)");
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    script.record();
    let _ = vm.request().end();
    let got: Vec<Status> = script
        .take_recorded()
        .iter()
        .map(|own| own.status)
        .collect();
    assert_eq!(got, [Status::INVALID_MEMORY_ACCESS]);
    assert_eq!(vm.failure(), None);
}

#[test]
fn scripted_faults_hit_the_nth_call_and_leave_the_others() {
    let guest = Guest::new().on_request_headers(
        "(call $get_x) (drop) (call $get_x) (drop) (call $get_x) (drop) (i32.const 0)",
    );
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    script.nth("proxy_get_header_map_value", 2, Status(77));
    script.record();
    let _ = vm.request().header("x", "1").end();
    let got: Vec<Status> = script
        .take_recorded()
        .iter()
        .map(|own| own.status)
        .collect();
    assert_eq!(got, [Status::OK, Status(77), Status::OK]);
}

#[test]
fn ticks_follow_the_period_that_the_guest_sets() {
    let guest = Guest::new().callback(
        "proxy_on_configure",
        "(param i32 i32) (result i32)",
        "(call $tick_period (i32.const 250)) (drop) (i32.const 1)",
    );
    let (mut vm, script) = vm(&guest, STOP_HEADERS);
    assert_eq!(vm.tick_period(), Some(Duration::from_millis(250)));
    assert_eq!(script.log_text(LogLevel::Trace), "");
    assert!(vm.configure(b"{}").is_ok_and(|accepted| accepted));
}

#[test]
fn modules_that_are_no_filters_are_refused_with_the_reason() {
    let refused =
        |wat: &str| Module::from_bytes(&wat::parse_str(wat).expect("wat"), Limits::default());
    assert!(matches!(
        Module::from_bytes(b"\0asm", Limits::default()),
        Err(HostError::Compile(_))
    ));
    assert!(
        matches!(refused("(module)"), Err(HostError::Abi(why)) if why.contains("proxy_abi_version"))
    );
    let unknown = Guest::new().import("(import \"env\" \"proxy_unheard_of\" (func))");
    let module = Module::from_bytes(&unknown.wasm(), Limits::default()).expect("valid");
    let linked = Vm::new(&module, &Shared::new(), Script::new(), STOP_ALL);
    assert!(matches!(linked, Err(HostError::Link(why)) if why.contains("proxy_unheard_of")));
}

#[test]
fn a_response_passes_chunk_by_chunk_and_trailers_end_it() {
    let (mut vm, _script) = vm(&Guest::new(), STOP_HEADERS);
    let mut exchange = vm.request().end();
    exchange.response(&mut vm, 200);
    exchange.response_chunk(&mut vm, "a", false);
    assert_eq!(exchange.response_body, b"a");
    let trailers: HeaderMap = [("t", "1")].into_iter().collect();
    assert_eq!(
        vm.trailers(exchange.stream, Direction::Response, trailers),
        Action::Continue
    );
    assert_eq!(
        vm.body(exchange.stream, Direction::Response, b"late".to_vec(), true),
        Action::Continue
    );
    exchange.collect(&mut vm);
    assert_eq!(exchange.response_body, b"a", "nothing follows trailers");
}
