//! Tests responses that servers keep. Whoever continues or reads one must reach its server, by any
//! proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::support::fleet::Fleet;
use crate::support::stage::StageOptions;
use crate::support::{Answer, Backend, ScriptedAggregator, Stage, client, eventually, row, table};

const RESPONSES: &str = "/v1/responses";

/// Creates a response: a new one, or one that continues `after`. Returns its status and its name.
pub(crate) async fn create(proxy: SocketAddr, after: Option<&str>, stream: bool) -> (u16, String) {
    go_on(proxy, after, stream, "Tell me.").await
}

/// Does the same with another input. In the body the input comes before the name of the earlier
/// response.
async fn go_on(proxy: SocketAddr, after: Option<&str>, stream: bool, input: &str) -> (u16, String) {
    let body = json!({"model": "m", "input": input, "max_output_tokens": 4, "previous_response_id": after, "stream": stream});
    let answer = client::post(proxy, RESPONSES, &[], body.to_string())
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let name = text
        .split_once("\"id\":")
        .and_then(|(_, rest)| rest.split('"').nth(1))
        .unwrap_or_default();
    (answer.status, name.to_owned())
}

pub(crate) async fn ask(proxy: SocketAddr, method: Method, name: &str) -> (u16, Value) {
    let path = format!("{RESPONSES}/{name}");
    let answer = client::bare(proxy, method, &path, &[]).await.unwrap();
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_found_by_whoever_asks_for_it_also_by_another_and_by_a_new_proxy() {
    let mut fleet = Fleet::start(&[1.0, 1.0, 1.0, 1.0]).await;
    let other = fleet.another_proxy(StageOptions::default()).await;
    let proxies = [fleet.stage.address, other.address];
    let mut names = Vec::new();
    for n in 0..12 {
        let (status, name) = create(proxies[n % 2], None, n % 3 == 0).await;
        assert!(
            status == 200 && name.starts_with("resp_"),
            "{status} {name}"
        );
        names.push(name);
    }
    // Proxies know the names after a report and a table.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for (n, name) in names.iter().enumerate() {
        for proxy in proxies {
            let (status, body) = ask(proxy, Method::GET, name).await;
            assert_eq!(
                (status, body["id"].as_str()),
                (200, Some(name.as_str())),
                "{n}"
            );
            let input = "word ".repeat(n * 1_500 + 1);
            let (status, next) = go_on(proxy, Some(name), n % 2 == 0, &input).await;
            assert_eq!(status, 200, "{n}: {next}");
        }
    }
    // One proxy starts later, another one after a restart of the aggregator.
    for restart in [false, true] {
        if restart {
            fleet.kill_aggregator();
            fleet.start_aggregator();
            // By then both proxies have called the aggregator again and reported what they know.
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        let late = fleet.another_proxy(StageOptions::default()).await;
        for name in &names {
            let (status, _) = ask(late.address, Method::GET, name).await;
            assert_eq!(status, 200, "{name}, after a restart: {restart}");
        }
    }
    let (status, _) = ask(proxies[1], Method::DELETE, &names[0]).await;
    assert_eq!(status, 200);
    // No server has a response that was never made. The server that gets the request says so.
    let (status, _) = ask(proxies[0], Method::GET, "resp_of_nobody").await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_any_more_is_asked_of_one_server_after_the_other() {
    let fleet = Fleet::start(&[1.0, 1.0, 1.0, 1.0, 1.0]).await;
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(create(fleet.stage.address, None, false).await.1);
    }
    // A proxy and an aggregator that have never heard of any.
    let addresses = fleet.addresses();
    let rows = addresses.iter().map(|address| row(&address.to_string(), 0));
    let aggregator = ScriptedAggregator::start(Answer::Table(table(1, rows.collect()))).await;
    let options = StageOptions {
        plugin: Some("\"table_max_age\": \"60s\"".to_owned()),
        ..StageOptions::default()
    };
    let stage = Stage::start(&addresses, aggregator.address, options).await;
    stage.placing().await;
    let held = async || {
        let decisions = stage.metrics("trimtab_decisions_total").await;
        decisions
            .iter()
            .find(|(name, _)| name.ends_with(".held"))
            .map_or(0, |(_, count)| *count)
    };
    for (n, name) in names.iter().enumerate() {
        let found = match n % 2 {
            0 => ask(stage.address, Method::GET, name).await.0,
            _ => {
                go_on(
                    stage.address,
                    Some(name),
                    n % 4 == 1,
                    &"word ".repeat(5_000),
                )
                .await
                .0
            }
        };
        assert_eq!(found, 200, "{n}");
    }
    // From then on it is known.
    for name in &names {
        assert_eq!(ask(stage.address, Method::GET, name).await.0, 200);
    }
    eventually("the second time needs no search", async || {
        (held().await >= 10).then_some(())
    })
    .await;
    assert_eq!(
        ask(stage.address, Method::GET, "resp_of_nobody").await.0,
        404
    );
    let ejections = stage.metrics("trimtab_ejections_total").await;
    assert!(
        ejections.is_empty(),
        "who has not what it was asked for is well: {ejections:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_a_search_for_seconds_and_not_for_ever() {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    // They are asked in this order.
    let waits = [(&a, 0), (&b, 20_000), (&c, 40_000)];
    let (stage, _aggregator) = Stage::with_waits(&waits).await;
    a.answer_with(404);
    b.hold();
    let start = Instant::now();
    let (status, _) = ask(stage.address, Method::GET, "resp_elsewhere").await;
    assert_eq!(status, 200, "after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(15));
    // What was found is known.
    let start = Instant::now();
    assert_eq!(
        ask(stage.address, Method::GET, "resp_elsewhere").await.0,
        200
    );
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_whose_server_is_gone_is_answered_by_another_with_404() {
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    let proxy = fleet.stage.address;
    let mut names = Vec::new();
    for _ in 0..12 {
        names.push(create(proxy, None, false).await.1);
    }
    let gone = fleet.remove_server();
    eventually("the table has one server", async || {
        (fleet.table().await["endpoints"].as_array()?.len() == 1).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut statuses = Vec::new();
    for name in &names {
        statuses.push(ask(proxy, Method::GET, name).await.0);
    }
    assert!(
        statuses.contains(&404) && statuses.contains(&200),
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 404)),
        "{statuses:?}"
    );
    drop(gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_server_that_keeps_a_response_is_passed_on_and_nobody_else_is_asked() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 20_000)]).await;
    let (status, name) = create(stage.address, None, false).await;
    assert_eq!((status, name.as_str()), (200, "resp_kept"));
    for status in [503, 200, 503, 429, 200] {
        let others = b.count();
        a.answer_with(status);
        assert_eq!(ask(stage.address, Method::GET, &name).await.0, status);
        assert_eq!(create(stage.address, Some(&name), false).await.0, status);
        assert_eq!(b.count(), others);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_found_in_its_pool_although_who_asks_for_it_names_no_model() {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    let pools = r#"[{"pool": "code", "models": ["coder*"]}, {"pool": "default", "models": ["m"]}]"#;
    let (stage, _aggregator) = Stage::with_two_pools(&[(&a, 0), (&b, 0)], &c, pools).await;
    let coder = json!({"model": "coder-1", "input": "Tell me."}).to_string();
    eventually("both workers place", async || {
        for _ in 0..12 {
            let before = c.count();
            client::post(stage.address, RESPONSES, &[], coder.clone())
                .await
                .ok()?;
            if c.count() == before {
                return None;
            }
        }
        Some(())
    })
    .await;
    let before = c.count();
    for _ in 0..10 {
        assert_eq!(ask(stage.address, Method::GET, "resp_kept").await.0, 200);
        let path = format!("{RESPONSES}/resp_kept/cancel");
        client::post(stage.address, &path, &[], String::new())
            .await
            .unwrap();
        let body = json!({"input": "And then?", "previous_response_id": "resp_kept"});
        client::post(stage.address, RESPONSES, &[], body.to_string())
            .await
            .unwrap();
    }
    assert_eq!(c.count(), before + 30);
}
