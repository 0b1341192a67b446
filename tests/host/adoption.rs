//! Tests several pools in one plugin, step-by-step adoption, and explanations of decisions.

use std::time::Duration;

use trimtab_loadtable::Table;
use trimtab_wasmhost::{CallAnswer, Exchange, LogLevel, Options, ScriptedProxy};

use crate::support::{
    DESTINATION, EXPLAIN, chat, config_with, counter, first_host, in_flight, metric, module,
    ready_with, reported, table, table_with,
};

/// Returns the explain header of an answered request.
fn explanation(exchange: &Exchange) -> String {
    let headers = exchange.response_headers.as_ref().expect("answered");
    headers.text(EXPLAIN).unwrap_or_default().to_owned()
}

/// Sends a request that `upstream` answers.
fn answered(proxy: &mut ScriptedProxy, headers: &[(&str, &str)], upstream: &str) -> Exchange {
    let mut request = proxy.vm().request().attribute("upstream.address", upstream);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let exchange = request.body(chat(500));
    exchange.finish(proxy.vm())
}

/// Answers the poll of each pool with its own table, until all pools have polled.
fn deliver_each(proxy: &mut ScriptedProxy, tables: &[Table]) {
    let mut left: Vec<&Table> = tables.iter().collect();
    for _ in 0..100 {
        for (number, call) in proxy.take_calls() {
            let path = call.headers.text(":path").unwrap_or_default().to_owned();
            let asked = |table: &&Table| path == format!("/v1/pools/{}/sync", table.pool);
            if let Some(place) = left.iter().position(asked) {
                let answer = CallAnswer::new(200, left.swap_remove(place).encode());
                assert!(proxy.answer(number, call.token, Some(answer)));
            }
        }
        proxy.run_for(Duration::from_millis(100));
        if left.is_empty() {
            return proxy.run_for(Duration::from_secs(1));
        }
    }
    panic!("nobody asked for {left:?}");
}

const TWO_POOLS: &str = r#"{"aggregator": {"cluster": "trimtab_aggregator"}, "explain_header": "x-trimtab-decision", "seed": 7, "per_route": true,
    "pools": [{"pool": "code", "models": ["coder*"]}, {"pool": "chat", "authorities": ["chat.example"]}]}"#;

/// Returns a proxy with two pools. Their endpoints are 10.1.0.x and 10.0.0.x.
fn two_pools(config: &str) -> ScriptedProxy {
    let mut proxy = ScriptedProxy::start(module(), config, 2, Options::default()).expect("starts");
    let mut code = table_with(1, &[0, 0]);
    code.pool = "code".into();
    code.placement_key = [9; 16];
    for endpoint in &mut code.endpoints {
        endpoint.address = endpoint.address.replace("10.0.", "10.1.");
    }
    deliver_each(&mut proxy, &[code, table_with(1, &[0, 0])]);
    proxy
}

fn ask_model(proxy: &mut ScriptedProxy, authority: &str, model: &str) -> Exchange {
    let body = chat(300).replace(r#""model": "m""#, &format!(r#""model": "{model}""#));
    let request = proxy.vm().request().header(":authority", authority);
    request.body(body)
}

#[test]
fn each_request_goes_to_an_endpoint_of_its_own_pool() {
    let mut proxy = two_pools(TWO_POOLS);
    for n in 0..20 {
        let code = ask_model(&mut proxy, "other.example", &format!("coder-{n}"));
        assert!(first_host(&code).expect("placed").starts_with("10.1.0."));
        let chat = ask_model(&mut proxy, "Chat.Example:8080", "m");
        assert!(first_host(&chat).expect("placed").starts_with("10.0.0."));
        // The first pool whose conditions hold gets the request.
        let both = ask_model(&mut proxy, "chat.example", "coder");
        assert!(first_host(&both).expect("placed").starts_with("10.1.0."));
        let nobody = ask_model(&mut proxy, "other.example", "m");
        assert!(nobody.request_ended && first_host(&nobody).is_none());
        let both = both.finish(proxy.vm());
        assert!(
            explanation(&both).contains("pool=code"),
            "{}",
            explanation(&both)
        );
        for exchange in [code, chat, nobody] {
            exchange.finish(proxy.vm());
        }
    }
    proxy.run_for(Duration::from_millis(300));
    let unmatched = metric(&proxy, "trimtab_unmatched_total.pool.code.kind.read");
    assert_eq!(unmatched, 20);
    assert!(proxy.failures().is_empty());
    let report = reported(&mut proxy);
    assert_eq!(
        (report.decided, in_flight(&report)),
        (20, 0),
        "of pool chat"
    );
}

#[test]
fn every_pool_has_its_own_sync_and_one_that_gets_no_table_does_not_hold_up_the_other() {
    let mut proxy =
        ScriptedProxy::start(module(), TWO_POOLS, 1, Options::default()).expect("starts");
    deliver_each(&mut proxy, &[table()]);
    let placed = ask_model(&mut proxy, "chat.example", "m");
    assert!(first_host(&placed).is_some());
    let other = ask_model(&mut proxy, "other.example", "coder");
    assert!(other.request_ended && first_host(&other).is_none());
    other.finish(proxy.vm());
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_route_may_name_pool_and_mode() {
    const POOL: &str = "xds.route_metadata.filter_metadata.trimtab.pool";
    const MODE: &str = "xds.route_metadata.filter_metadata.trimtab.mode";
    let mut proxy = two_pools(TWO_POOLS);
    let vm = proxy.vm();
    let named = vm.request().attribute(POOL, "code").body(chat(300));
    assert!(first_host(&named).expect("placed").starts_with("10.1.0."));
    let chat_example = |vm: &mut trimtab_wasmhost::Vm, mode: &str| {
        let request = vm.request().header(":authority", "chat.example");
        request.attribute(MODE, mode).body(chat(300))
    };
    assert!(first_host(&chat_example(vm, "observe")).is_none());
    assert!(first_host(&chat_example(vm, "0")).is_none());
    assert!(first_host(&chat_example(vm, "100")).is_some());
    assert!(first_host(&chat_example(vm, "enforce")).is_some());
    for mistake in [(POOL, "chatt"), (MODE, "of")] {
        for _ in 0..3 {
            let request = vm.request().header(":authority", "chat.example");
            let exchange = request.attribute(mistake.0, mistake.1).body(chat(300));
            assert!(exchange.request_ended);
            assert_eq!(first_host(&exchange).is_some(), mistake.0 == MODE);
        }
    }
    let log = proxy.worker(0).script.log_text(LogLevel::Warn);
    assert_eq!(log.matches("trimtab.pool names a pool").count(), 1, "{log}");
    assert_eq!(log.matches("trimtab.mode is none of").count(), 1, "{log}");
}

#[test]
fn without_per_route_route_metadata_is_not_asked_for() {
    let mut proxy = ready_with(&config_with(""), &table());
    proxy.worker(0).script.record();
    let exchange = proxy.vm().request().body(chat(300));
    let asked = proxy.worker(0).script.take_recorded();
    assert!(first_host(&exchange).is_some());
    assert!(asked.iter().all(|call| call.call != "proxy_get_property"));
}

#[test]
fn observing_touches_no_request_and_tells_both_choices() {
    let config = config_with(r#""mode": "observe""#);
    let mut proxy = ready_with(&config, &table());
    for n in 0..10 {
        // The proxy chooses by itself. Half of the requests go to the endpoint with a wait of 20 s.
        let upstream = if n % 2 == 0 {
            "10.0.0.3:8000"
        } else {
            "10.0.0.1:8000"
        };
        let exchange = answered(&mut proxy, &[], upstream);
        assert_eq!(exchange.upstream_header(DESTINATION), None);
        let text = explanation(&exchange);
        assert!(
            text.contains("mode=observe") && text.contains("endpoint=10.0.0."),
            "{text}"
        );
        assert!(text.contains(&format!("went={upstream}")), "{text}");
        assert!(text.contains("went_wait_ms="), "{text}");
    }
    proxy.run_for(Duration::from_millis(300));
    let count = |name: &str, choice: &str| counter(&proxy, name, "choice", choice);
    let (same, other) = ("trimtab_observed_total", "trimtab_observed_total");
    assert_eq!(count(same, "same") + count(other, "other"), 10);
    assert!(count(other, "other") >= 5);
    let (own, its) = ("trimtab", "proxy");
    let waits = |choice| count("trimtab_observed_wait_ms_total", choice);
    assert!(
        waits(its) >= 5 * 20_000 && waits(own) < waits(its) / 10,
        "{} {}",
        waits(own),
        waits(its)
    );
    // Requests that the proxy placed by itself are in the report too.
    let report = reported(&mut proxy);
    let sent = |address: &str| {
        let rows = report.endpoints.iter();
        rows.filter(|row| row.address == address)
            .map(|row| row.sent)
            .sum::<u64>()
    };
    assert_eq!((sent("10.0.0.3:8000"), sent("10.0.0.1:8000")), (5, 5));
    assert_eq!(in_flight(&report), 0);
}

#[test]
fn observed_requests_that_go_nowhere_or_end_early_leave_nothing_behind() {
    let config = config_with(r#""mode": "observe""#);
    let mut proxy = ready_with(&config, &table());
    let exchange = answered(&mut proxy, &[], "10.9.9.9:1");
    assert!(explanation(&exchange).contains("went=10.9.9.9:1"));
    let mut local = proxy.vm().request().body(chat(300));
    local.local_reply(proxy.vm(), 503);
    local.close(proxy.vm());
    proxy.vm().request().body(chat(300)).close(proxy.vm());
    let report = reported(&mut proxy);
    assert_eq!(in_flight(&report), 0);
    assert!(proxy.failures().is_empty());
}

#[test]
fn a_percentage_of_the_requests_is_placed_and_a_conversation_is_treated_alike() {
    let config = config_with(r#""mode": {"percent": 30}, "session_header": "x-session""#);
    let mut proxy = ready_with(&config, &table_with(1, &[0, 0]));
    let mut placed = 0;
    for session in 0..200 {
        let name = format!("session {session}");
        let turns: Vec<bool> = (0..3)
            .map(|_| {
                let request = proxy.vm().request().header("x-session", &name);
                let exchange = request.body(chat(300));
                let is_placed = first_host(&exchange).is_some();
                exchange.finish(proxy.vm());
                is_placed
            })
            .collect();
        assert!(turns.iter().all(|turn| *turn == turns[0]), "{turns:?}");
        placed += usize::from(turns[0]);
    }
    assert!((40..80).contains(&placed), "{placed} of 200");
}

#[test]
fn who_does_not_ask_is_told_nothing_and_the_log_is_told_when_configured() {
    let config = config_with(r#""explain_request_header": "x-why", "explain_log": true"#);
    let mut proxy = ready_with(&config, &table());
    let silent = answered(&mut proxy, &[], "10.0.0.1:8000");
    // The filter explains only answers to requests with the header that asks for it.
    assert_eq!(explanation(&silent), "");
    let asked = answered(&mut proxy, &[("x-why", "1")], "10.0.0.1:8000");
    let text = explanation(&asked);
    for part in [
        "reason=",
        "endpoint=",
        "wait_ms=",
        "candidates=",
        "table=1/1",
        "table_age_ms=",
        "body=whole",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let exchange = proxy.vm().request().body(chat(300));
    let state = proxy.vm().filter_state(exchange.stream);
    let logged = state
        .get(&b"trimtab_decision"[..])
        .expect("left for the access log");
    assert!(logged.starts_with(b"reason="), "{logged:?}");
}
