//! Tests that placement follows the load in the table.

use std::time::Duration;

use crate::support::client::{DECISION, chat_body};
use crate::support::{Answer, Backend, Stage, chat, eventually, post, row, table};

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_where_the_table_says_that_they_wait_least_and_follow_it_when_that_changes() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, aggregator) = Stage::with_waits(&[(&a, 0), (&b, 20_000)]).await;
    assert!(
        stage.prefers(&a, &b).await,
        "{} and {}",
        a.count(),
        b.count()
    );
    let response = chat(stage.address, "hello").await.unwrap().ok();
    let decision = response.header(DECISION);
    let named = |backend: &Backend| decision.contains(&format!("endpoint={}", backend.name()));
    assert!(named(&a) || named(&b), "{decision}");

    let turned = table(2, vec![row(&a.name(), 20_000), row(&b.name(), 0)]);
    aggregator.publish(Answer::Table(turned));
    // Both workers adopt the table on their ticks.
    eventually("requests follow the new table", async || {
        stage.prefers(&b, &a).await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_of_the_list_gets_the_request_when_the_first_cannot_be_reached() {
    let (gone, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    let (stage, _aggregator) = Stage::with_waits(&[(&gone, 0), (&b, 20_000), (&c, 20_000)]).await;
    drop(gone);
    eventually("the port is closed", async || {
        chat(stage.address, "is it gone?")
            .await
            .ok()
            .filter(|r| r.status == 200)
    })
    .await;
    let before = b.count() + c.count();
    let big = "word ".repeat(20_000);
    for n in 0..10 {
        let prompt = if n % 2 == 0 { "short" } else { big.as_str() };
        let body = chat_body(prompt);
        post(
            stage.address,
            "/v1/chat/completions",
            &[("content-type", "application/json")],
            body,
        )
        .await
        .unwrap()
        .ok();
    }
    assert_eq!(
        b.count() + c.count(),
        before + 10,
        "also with bodies beyond the listener's limit"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_503_is_passed_over_and_the_next_of_the_list_answers() {
    let (busy, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&busy, 0), (&b, 20_000)]).await;
    busy.answer_with(503);
    let before = (busy.count(), b.count());
    for n in 0..20 {
        chat(stage.address, &format!("question {n}"))
            .await
            .unwrap()
            .ok();
    }
    assert_eq!(
        b.count(),
        before.1 + 20,
        "each is answered by the other one"
    );
    assert!(busy.count() > before.0, "the better one was asked first");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_servers_share_the_work_of_concurrent_requests() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 0)]).await;
    a.hold();
    b.hold();
    let address = stage.address;
    // Long prompts without a common beginning. Each is about a second of prefill on its server.
    let requests: Vec<_> = (0..20)
        .map(|n| {
            tokio::spawn(async move {
                chat(address, &format!("{n} ").repeat(10_000))
                    .await
                    .unwrap()
                    .ok()
            })
        })
        .collect();
    eventually("all requests are placed", async || {
        (a.open() + b.open() == 20).then_some(())
    })
    .await;
    // Two workers that do not see each other's requests may each be wrong by a few. A single server
    // with all requests would give 20 : 0.
    assert!(
        (5..=15).contains(&a.open()),
        "{} and {}",
        a.open(),
        b.open()
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.release();
    b.release();
    for request in requests {
        request.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_gateways_are_placed_and_one_that_nobody_told_us_of_is_named_once() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 60_000)]).await;
    let json = [("content-type", "application/json")];
    for path in [
        "/llm/chat/completions",
        "/openai/deployments/d/chat/completions?api-version=1",
        "/v1beta/models/g:streamGenerateContent?alt=sse",
        "/classify",
    ] {
        let body = chat_body("x");
        let answer = post(stage.address, path, &json, body).await.unwrap();
        assert_eq!(answer.endpoint(), a.name(), "{path}");
    }
    for n in 0..10 {
        let path = format!("/team/{n}{n}{n}{n}/ask");
        post(stage.address, &path, &json, chat_body("x"))
            .await
            .unwrap();
    }
    eventually("ten have passed", async || {
        let passed = stage
            .metric("trimtab_passed_total.pool.default.kind.json")
            .await;
        (passed == 10).then_some(())
    })
    .await;
    let log = stage.envoy.log_text();
    let named = log
        .matches("a POST with JSON to /team/*/ask is left")
        .count();
    assert!(
        (1..=2).contains(&named),
        "once per worker at the most: {named}"
    );
}
