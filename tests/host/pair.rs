//! Tests the form with two plugins: tap sees the body and decides, pick holds the headers and sets
//! the destination.

use std::time::Duration;

use trimtab_wasmhost::{
    Direction, Effect, HeaderMap, LogLevel, Options, Part, ScriptedProxy, Status,
};

use crate::support::{DESTINATION, ENDPOINTS, chat, config_with, counter, module, reported, table};

/// Stock Envoy as Istio configures it: without the option.
const STOP_ALL: Options = Options {
    allow_on_headers_stop_iteration: false,
    buffer_limit_bytes: 32 << 10,
};

/// Two plugins in one proxy.
struct Pair {
    tap: ScriptedProxy,
    pick: ScriptedProxy,
}

/// One request in the chain: its numbers at tap and at pick, and the output of pick.
struct Chained {
    tap: u32,
    pick: u32,
    headers: Option<HeaderMap>,
    body: Vec<u8>,
    ended: bool,
}

fn role(role: &str, more: &str) -> String {
    config_with(&format!(r#""role": "{role}"{more}"#))
}

impl Pair {
    fn new() -> Self {
        Self::with(&role("tap", ""), &role("pick", ""))
    }

    fn with(tap: &str, pick: &str) -> Self {
        let tap = ScriptedProxy::start(module(), tap, 1, STOP_ALL).expect("tap starts");
        let pick = tap
            .start_beside(module(), pick, STOP_ALL)
            .expect("pick starts");
        let mut pair = Self { tap, pick };
        assert!(pair.tap.deliver(&table().encode()));
        pair
    }

    fn open(&mut self, headers: HeaderMap, end: bool) -> Chained {
        let mut request = Chained {
            tap: self.tap.vm().open(),
            pick: self.pick.vm().open(),
            headers: None,
            body: Vec::new(),
            ended: false,
        };
        let (tap, pick) = (self.tap.vm(), self.pick.vm());
        tap.headers(request.tap, Direction::Request, headers, end);
        for effect in tap.take_effects_of(request.tap) {
            if let Effect::Forward(_, Part::Headers(headers, end)) = effect {
                pick.set_filter_state(request.pick, tap.filter_state(request.tap));
                pick.headers(request.pick, Direction::Request, headers, end);
                tap.set_filter_state(request.tap, pick.filter_state(request.pick));
            }
        }
        self.settle(&mut request);
        request
    }

    fn body(&mut self, request: &mut Chained, chunk: &[u8], end: bool) {
        let tap = self.tap.vm();
        tap.body(request.tap, Direction::Request, chunk.to_vec(), end);
        self.settle(request);
    }

    /// Passes on the output of tap, delivers pick's queue, and collects the output of pick.
    fn settle(&mut self, request: &mut Chained) {
        let (tap, pick) = (self.tap.vm(), self.pick.vm());
        for effect in tap.take_effects_of(request.tap) {
            if let Effect::Forward(_, Part::Body(chunk, end)) = effect {
                pick.body(request.pick, Direction::Request, chunk, end);
            }
        }
        pick.deliver_queues();
        for effect in pick.take_effects_of(request.pick) {
            match effect {
                Effect::Forward(_, Part::Headers(headers, end)) => {
                    request.headers = Some(headers);
                    request.ended |= end;
                }
                Effect::Forward(_, Part::Body(chunk, end)) => {
                    request.body.extend(chunk);
                    request.ended |= end;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn run_for(&mut self, span: Duration) {
        // Both have one clock. Tap's run moves it for both; pick's own ticks need no more time.
        let step = Duration::from_millis(100);
        for _ in 0..span.as_millis() / step.as_millis() {
            self.tap.run_for(step);
            for worker in self.pick.all() {
                worker.vm.tick();
                worker.vm.deliver_queues();
            }
        }
    }

    fn close(&mut self, request: &Chained) {
        self.tap.vm().close(request.tap);
        self.pick.vm().close(request.pick);
    }

    fn fault(&self, reason: &str) -> u64 {
        counter(&self.tap, "trimtab_setup_errors_total", "reason", reason)
    }

    /// Returns the names of all counted setup errors of both plugins.
    fn faults(&self) -> Vec<String> {
        let all = [&self.tap, &self.pick].map(|proxy| proxy.shared.all_metrics());
        let names = all.into_iter().flatten().map(|metric| metric.name);
        names
            .filter(|name| name.starts_with("trimtab_setup_errors_total."))
            .collect()
    }

    fn warnings(&mut self) -> String {
        let tap = self.tap.worker(0).script.log_text(LogLevel::Warn);
        tap + &self.pick.worker(0).script.log_text(LogLevel::Warn)
    }
}

impl Chained {
    fn destination(&self) -> Option<&str> {
        self.headers.as_ref()?.text(DESTINATION)
    }
}

fn headers(more: &[(&str, &str)]) -> HeaderMap {
    let mut all = vec![
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "models.example"),
        ("content-type", "application/json"),
    ];
    all.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    all.into_iter().chain(more.iter().copied()).collect()
}

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
        exchange.finish(pair.tap.vm());
    }
    let log = pair.warnings();
    assert_eq!(log.matches("no plugin with role pick").count(), 1, "{log}");
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.fault("no_pick"), 3);
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
    assert!(
        !faults.is_empty()
            && faults
                .iter()
                .all(|name| name.ends_with("reason.other_pools")),
        "and nothing else: {faults:?}"
    );
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
        ("outbound|8000||llama.models.svc.cluster.local", "models.example", true),
        ("outbound|8000||other.models.svc.cluster.local", "models.example", false),
        ("outbound|8000||llama.models.svc.cluster.local", "other.example", false),
    ] {
        tap.set_property("xds.cluster_name", cluster);
        pick.record();
        let mut request = pair.open(headers(&[(":authority", authority)]), false);
        let at_pick = pick.take_recorded().len();
        assert_eq!(request.headers.is_none(), placed, "held only for its pool");
        pair.body(&mut request, chat(500).as_bytes(), true);
        assert!(request.ended);
        assert_eq!(request.destination().is_some(), placed, "{cluster} {authority}");
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
