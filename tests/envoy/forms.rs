//! Tests the forms of the filter: one plugin, or two that need no option of the proxy. Also tests
//! what happens to requests with a wrong setup.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::client::{DECISION, DESTINATION, chat_body, post_chunks};
use crate::support::config::Form;
use crate::support::{
    Answer, Backend, Response, ScriptedAggregator, Stage, StageOptions, chat, eventually, post,
    row, severe, table,
};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn faults(stage: &Stage) -> Vec<(String, u64)> {
    let all = stage.metrics("trimtab_setup_errors_total").await;
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Fails the test if a fault was counted. Waits until the workers have published their counts.
async fn no_faults(stage: &Stage, form: Form) {
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(faults(stage).await, [], "{form:?}");
}

/// Returns a stage that may place no requests, so the function does not wait for placed ones.
async fn wrong(form: Form, backends: &[&Backend]) -> (Stage, ScriptedAggregator) {
    wrong_with(form, json!({}), backends, backends).await
}

/// Does the same as [`wrong`], with other parts of the configuration.
///
/// - `form`: form of the filter.
/// - `overlay`: the other parts.
/// - `listed`: endpoints of the table.
/// - `backends`: endpoints of the cluster.
async fn wrong_with(
    form: Form,
    overlay: Value,
    listed: &[&Backend],
    backends: &[&Backend],
) -> (Stage, ScriptedAggregator) {
    let rows = listed.iter().map(|backend| row(&backend.name(), 0));
    let aggregator = ScriptedAggregator::start(Answer::Table(table(1, rows.collect()))).await;
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let options = StageOptions {
        plugin: Some("\"table_max_age\": \"60s\"".to_owned()),
        form,
        overlay,
        ..StageOptions::default()
    };
    let stage = Stage::start(&addresses, aggregator.address, options).await;
    if form != Form::Alone("pick") {
        eventually("the workers have a table", async || {
            let endpoints = stage.metric("trimtab_table_endpoints.pool.default").await;
            (endpoints > 0).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    (stage, aggregator)
}

/// Checks that the filter chose that server, and that the request came there unchanged.
fn arrived(response: &Response, server: &Backend, body: &str, form: Form) {
    let decision = response.header(DECISION);
    let length = body.len();
    assert!(
        decision.contains(&server.name()),
        "{form:?} {length}: {decision}"
    );
    assert!(
        server.seen().pop().unwrap().body == body,
        "{form:?} {length}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tap_and_pick_place_requests_of_every_size_and_leave_their_bodies_alone() {
    for form in [Form::Pair, Form::PairInOneVm] {
        let (a, b) = (Backend::start().await, Backend::start().await);
        let (stage, aggregator) = Stage::in_form(form, &[(&a, 0), (&b, 600_000)]).await;
        let others = b.count();
        for size in [0, 500, 16_384, 32_768, 33_000, 70_000, 4_000_000] {
            let body = chat_body(&"x".repeat(size));
            let whole = post(stage.address, CHAT, &[JSON], body.clone()).await;
            arrived(&whole.unwrap().ok(), &a, &body, form);
            let chunks = body.as_bytes().chunks(20_000.max(size / 50));
            let chunks = chunks.map(Bytes::copy_from_slice).collect();
            let pieces = post_chunks(stage.address, CHAT, &[JSON], chunks, Duration::ZERO).await;
            arrived(&pieces.unwrap().ok(), &a, &body, form);
        }
        assert_eq!(b.count(), others, "{form:?}");
        no_faults(&stage, form).await;
        eventually("nothing is in flight", async || {
            aggregator.nudge();
            let report = aggregator.last_report()?;
            let open = report.endpoints.iter().any(|row| row.in_flight > 0);
            let done: u64 = report.endpoints.iter().map(|row| row.finished).sum();
            (!open && done >= 14).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tap_and_pick_follow_the_table_and_hold_no_request_of_another_kind() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::in_form(Form::Pair, &[(&a, 0), (&b, 20_000)]).await;
    assert!(stage.prefers(&a, &b).await);
    let forged = [(DESTINATION, b.name())];
    let forged = forged
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    post(stage.address, "/v1/models", &forged, "{}")
        .await
        .unwrap()
        .ok();
    let arrived = [a.seen(), b.seen()].concat();
    let mut models = arrived.iter().filter(|seen| seen.path == "/v1/models");
    let (one, other) = (models.next().expect("it arrived"), models.next());
    assert!(other.is_none(), "once");
    assert!(!one.headers.contains_key(DESTINATION));
    no_faults(&stage, Form::Pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_slowly_is_placed_and_passes_whole_in_both_forms() {
    for form in [Form::Single, Form::Pair] {
        let (a, b) = (Backend::start().await, Backend::start().await);
        let (stage, _aggregator) = Stage::in_form(form, &[(&a, 0), (&b, 600_000)]).await;
        let body = chat_body("slowly");
        let chunks = body.as_bytes().chunks(body.len() / 4 + 1);
        let chunks: Vec<_> = chunks.map(Bytes::copy_from_slice).collect();
        let started = Instant::now();
        let pause = Duration::from_millis(900);
        let response = post_chunks(stage.address, CHAT, &[JSON], chunks, pause)
            .await
            .unwrap()
            .ok();
        assert!(started.elapsed() > 3 * pause);
        let decision = response.header(DECISION);
        assert!(decision.contains(&a.name()), "{form:?}: {decision}");
        let arrived = a.seen().pop().unwrap().body;
        assert!(arrived == body, "{form:?}");
        no_faults(&stage, form).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_option_is_found_with_the_first_request_and_none_hangs() {
    let a = Backend::start().await;
    let (stage, _aggregator) = wrong(Form::SingleWithoutOption, &[&a]).await;
    for n in 0..40 {
        let started = Instant::now();
        let prompt = format!("question {n}");
        let response = chat(stage.address, &prompt).await.unwrap().ok();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(2), "request {n} took {took:?}");
        let decision = response.header(DECISION);
        assert!(
            decision.contains("endpoint="),
            "placed by load: {decision:?}"
        );
    }
    let log = stage.envoy.log_text();
    let said = log
        .matches("set allow_on_headers_stop_iteration: true")
        .count();
    assert!((1..=2).contains(&said), "once per worker, not {said} times");
    // Tests that expect no warning search the log in the same way.
    assert_eq!(severe(&log).len(), said, "{log}");
    let found = eventually("it is counted", async || faults(&stage).await.pop()).await;
    assert!(found.0.ends_with("reason.no_stop_iteration"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_its_partner_is_told_and_costs_no_request() {
    let cases = [
        ("tap", "no plugin with role pick", "no_pick"),
        ("pick", "no plugin with role tap", "no_tap"),
    ];
    for (role, said, label) in cases {
        let a = Backend::start().await;
        let (stage, _aggregator) = wrong(Form::Alone(role), &[&a]).await;
        let started = Instant::now();
        for n in 0..20 {
            let prompt = format!("question {n}");
            chat(stage.address, &prompt).await.unwrap().ok();
        }
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{role}: none waits"
        );
        let log = stage.envoy.log_text();
        assert!(
            (1..=2).contains(&log.matches(said).count()),
            "{role}: {log}"
        );
        let found = eventually("it is counted", async || faults(&stage).await.pop()).await;
        assert!(found.0.ends_with(&format!("reason.{label}")), "{found:?}");
        assert_eq!(a.count(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_the_cluster_does_not_take_is_told() {
    let balances = json!({"model_servers": {"load_balancing_policy": null, "lb_policy": "RANDOM"}});
    let servers = [
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    ];
    let [a, b, c, d] = &servers;
    // In the first case the policy is missing. In the second the cluster has other servers than the
    // aggregator.
    for (what, overlay, listed, backends) in [
        ("no policy", balances, vec![a, b, c, d], vec![a, b, c, d]),
        ("other endpoints", json!({}), vec![a, b], vec![c, d]),
    ] {
        for form in [Form::Single, Form::Pair] {
            let (stage, _aggregator) = wrong_with(form, overlay.clone(), &listed, &backends).await;
            let before: usize = servers.iter().map(Backend::count).sum();
            let found = eventually("it is counted", async || {
                let prompt = "who goes where?".repeat(20);
                chat(stage.address, &prompt).await.unwrap().ok();
                faults(&stage).await.pop()
            })
            .await;
            assert!(found.0.ends_with("reason.not_followed"), "{found:?}");
            let log = stage.envoy.log_text();
            let said = log.matches("go elsewhere than they are sent").count();
            assert!((1..=2).contains(&said), "{what}, {form:?}: {log}");
            let requests = servers.iter().map(Backend::count).sum::<usize>() - before;
            println!("{what}, {form:?}: found with {requests} requests of two workers");
        }
    }
}
