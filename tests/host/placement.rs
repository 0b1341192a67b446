//! Tests where requests go.

use std::collections::{BTreeMap, BTreeSet};

use trimtab_loadtable::State;
use trimtab_wasmhost::Action;

use crate::support::{
    DESTINATION, ENDPOINTS, EXPLAIN, ask, chat, config, config_with, first_host, ready, ready_with,
    reason, table, table_with,
};

#[test]
fn requests_avoid_the_endpoint_that_is_far_behind() {
    let mut proxy = ready();
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..60 {
        let body = chat(500).replace("word", &format!("w{number}"));
        let exchange = proxy.vm().request().body(body);
        *hosts
            .entry(first_host(&exchange).expect("placed"))
            .or_default() += 1;
    }
    assert_eq!(hosts.get(ENDPOINTS[2]), None, "{hosts:?}");
    assert!(
        hosts.len() == 2 && hosts.values().all(|count| *count >= 10),
        "both idle ones are used: {hosts:?}"
    );
}

#[test]
fn the_destination_is_an_ordered_list_of_distinct_endpoints() {
    let mut proxy = ready();
    let exchange = ask(proxy.vm());
    let hosts: Vec<_> = exchange
        .upstream_header(DESTINATION)
        .expect("placed")
        .split(',')
        .collect();
    assert_eq!(hosts.len(), 3);
    assert_eq!(hosts[2], ENDPOINTS[2], "the one that is behind comes last");
    let mut sorted = hosts.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ENDPOINTS);
}

#[test]
fn max_hosts_bounds_the_list() {
    let mut proxy = ready_with(&config_with(r#""max_hosts": 1"#), &table());
    assert_eq!(
        ask(proxy.vm())
            .upstream_header(DESTINATION)
            .map(|hosts| hosts.split(',').count()),
        Some(1)
    );
}

#[test]
fn requests_that_share_a_long_system_prompt_share_two_of_eight_endpoints() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0; 8]));
    let system = "You are a helpful assistant. ".repeat(200);
    let mut hosts = BTreeSet::new();
    for number in 0..40 {
        let body = format!(
            r#"{{"model": "m", "messages": [{{"role": "system", "content": "{system}"}}, {{"role": "user", "content": "question {number}"}}]}}"#
        );
        let exchange = proxy.vm().request().body(body);
        hosts.insert(first_host(&exchange).expect("placed"));
        exchange.finish(proxy.vm());
    }
    assert!(hosts.len() <= 2, "{hosts:?}");
}

#[test]
fn later_turns_of_a_conversation_stay_on_one_endpoint_while_load_allows() {
    let mut proxy = ready_with(&config(), &table_with(1, &[0; 8]));
    for conversation in 0..20 {
        let mut messages = format!(r#"{{"role": "user", "content": "tell me of {conversation}"}}"#);
        let mut hosts = BTreeSet::new();
        for turn in 0..5 {
            messages.push_str(&format!(r#", {{"role": "assistant", "content": "{}"}}, {{"role": "user", "content": "and {turn}?"}}"#, "because ".repeat(300)));
            let exchange = proxy
                .vm()
                .request()
                .body(format!(r#"{{"model": "m", "messages": [{messages}]}}"#));
            hosts.insert(first_host(&exchange).expect("placed"));
            exchange.finish(proxy.vm());
        }
        assert_eq!(hosts.len(), 1, "conversation {conversation}: {hosts:?}");
    }
}

#[test]
fn turns_that_come_as_one_growing_text_stay_together_although_all_begin_alike() {
    let mut table = table_with(1, &[0; 8]);
    table.demand.uncached_tokens = Some(100.0);
    let mut proxy = ready_with(&config(), &table);
    let shared = "You are a helpful assistant. ".repeat(90);
    let mut went: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut reasons = Vec::new();
    for turn in 1..6 {
        for conversation in 0..16 {
            // All endpoints are idle again.
            table.version.sequence += 1;
            assert!(proxy.deliver(&table.encode()));
            let own = format!("Of {conversation} it is said. ").repeat(100 * turn);
            let exchange = proxy
                .vm()
                .request()
                .header(":path", "/v1/completions")
                .body(format!(r#"{{"model": "m", "prompt": "{shared}{own}"}}"#))
                .finish(proxy.vm());
            // The first turns show how much all prompts share.
            if turn > 1 {
                let host = first_host(&exchange).expect("placed");
                went.entry(conversation).or_default().insert(host);
                reasons.push(reason(&exchange).expect("explained"));
            }
        }
    }
    assert!(went.values().all(|hosts| hosts.len() == 1), "{went:?}");
    let used: BTreeSet<_> = went.values().flatten().collect();
    assert!(used.len() > 3, "not all in one place: {used:?}");
    assert!(
        reasons.iter().all(|reason| reason == "conversation"),
        "{reasons:?}"
    );
}

#[test]
fn draining_endpoints_get_nothing_and_suspect_ones_only_what_is_left() {
    let mut mixed = table_with(1, &[0, 0, 20_000]);
    mixed.endpoints[0].state = State::Draining;
    mixed.endpoints[1].state = State::Suspect;
    let mut proxy = ready_with(&config(), &mixed);
    for _ in 0..20 {
        assert_eq!(first_host(&ask(proxy.vm())).as_deref(), Some(ENDPOINTS[2]));
    }
    mixed.version.sequence = 2;
    mixed.endpoints[2].state = State::Draining;
    assert!(proxy.deliver(&mixed.encode()));
    assert_eq!(first_host(&ask(proxy.vm())).as_deref(), Some(ENDPOINTS[1]));
}

#[test]
fn the_explanation_names_the_endpoint_and_is_absent_unless_configured() {
    let mut proxy = ready();
    let exchange = ask(proxy.vm()).finish(proxy.vm());
    let explained = exchange
        .response_headers
        .as_ref()
        .and_then(|map| map.text(EXPLAIN))
        .expect("explained");
    assert!(
        explained.contains(&format!(
            "endpoint={}",
            first_host(&exchange).expect("placed")
        )),
        "{explained}"
    );
    let silent = r#"{"pool": "chat", "aggregator": {"cluster": "trimtab_aggregator"}}"#;
    let mut proxy = ready_with(silent, &table());
    let exchange = ask(proxy.vm()).finish(proxy.vm());
    assert_eq!(
        exchange
            .response_headers
            .as_ref()
            .and_then(|map| map.text(EXPLAIN)),
        None
    );
}

#[test]
fn requests_that_are_no_completions_pass_untouched_and_unheld() {
    let mut proxy = ready();
    for (method, path) in [
        ("GET", "/v1/completions"),
        ("GET", "/health"),
        ("POST", "/v1/tokenize"),
        ("CONNECT", "/v1/chat/completions"),
        ("OPTIONS", "/"),
        ("", ""),
        ("POST", "/v1/completionsx"),
    ] {
        let exchange = proxy
            .vm()
            .request()
            .header(":method", method)
            .header(":path", path)
            .body_chunk("some")
            .body("body");
        assert_eq!(
            exchange.upstream_header(DESTINATION),
            None,
            "{method} {path}"
        );
        assert!(
            exchange
                .actions
                .iter()
                .all(|action| *action == Action::Continue),
            "{method} {path}"
        );
        assert_eq!(exchange.request_body, b"somebody");
        exchange.finish(proxy.vm());
    }
    let upgrade = proxy
        .vm()
        .request()
        .header(":method", "GET")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .leave_open();
    assert_eq!(upgrade.actions, [Action::Continue]);
}

#[test]
fn the_same_seed_and_events_give_the_same_decisions() {
    let run = || {
        let mut proxy = ready();
        (0..50)
            .map(|_| {
                ask(proxy.vm())
                    .upstream_header(DESTINATION)
                    .map(ToOwned::to_owned)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
