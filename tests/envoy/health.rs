//! Tests that a failing server gets only a few requests, and gets its share again when it works.

use std::time::{Duration, Instant};

use crate::support::client::DECISION;
use crate::support::{Backend, Stage, chat, client, eventually};

/// Sends requests one after the other. Returns how many were answered with 200 and no error.
async fn ask(stage: &Stage, count: usize) -> usize {
    let mut good = 0;
    for n in 0..count {
        let answer = client::ask(stage.address, &format!("question {n}")).await;
        let is_good = |answer: client::Response| {
            let body = String::from_utf8_lossy(&answer.body);
            answer.status == 200 && !body.contains("error")
        };
        good += usize::from(answer.is_ok_and(is_good));
    }
    good
}

/// Most failures until a worker ejects the server, times two workers.
const A_FEW: usize = 2 * 3;

/// Makes the server with the shortest wait fail and later work again. `kind` is the name of the
/// failure.
async fn fails_and_recovers(fail: fn(&Backend), kind: &str) {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 20_000), (&c, 20_000)]).await;
    let before = a.count();
    fail(&a);
    let good = ask(&stage, 50).await;
    let tried = a.count() - before;
    assert!((2..=A_FEW).contains(&tried), "{tried} requests");
    assert_eq!(good, 50 - tried, "only those failed");
    let ejections = format!("trimtab_ejections_total.pool.default.kind.{kind}");
    eventually("ejections are counted", async || {
        let count = stage.metric(&ejections).await;
        assert!(count <= 2, "once on each worker");
        (count > 0).then_some(())
    })
    .await;
    a.answer_with(200);
    eventually("it is tried again", async || {
        ask(&stage, 5).await;
        (a.count() > before + tried).then_some(())
    })
    .await;
    eventually("it has its share again", async || {
        // Slow start is nearly over on both workers.
        let before = a.count();
        ask(&stage, 24).await;
        (a.count() - before >= 18).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_500_gets_a_few_requests_until_it_recovers_and_then_its_share() {
    fails_and_recovers(|server| server.answer_with(500), "server_error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_writes_its_error_into_the_stream_gets_a_few_requests_and_later_its_share() {
    fails_and_recovers(Backend::fail_in_stream, "server_error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_answers_break_off_gets_a_few_requests_until_it_recovers_and_then_its_share()
{
    fails_and_recovers(Backend::break_answers, "reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_503_is_asked_a_few_times_although_retries_hide_it() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 20_000)]).await;
    a.answer_with(503);
    let before = a.count();
    assert_eq!(ask(&stage, 100).await, 100, "the other one answers");
    let tried = a.count() - before;
    // A worker looks at one answer in eight for a retry, until it notices the first one.
    assert!((2..=A_FEW + 2 * 8).contains(&tried), "{tried} requests");
    let before = a.count();
    ask(&stage, 50).await;
    assert_eq!(a.count(), before, "then none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_not_tried_and_is_used_again_when_it_is_back() {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 20_000), (&c, 20_000)]).await;
    let address = a.address;
    drop(a);
    let fails = "cluster.model_servers.upstream_cx_connect_fail";
    assert_eq!(ask(&stage, 100).await, 100, "others answer");
    let failed = stage.envoy.stat(fails).await.unwrap();
    assert!(failed <= A_FEW as u64 + 2 * 8, "{failed} connections");
    assert_eq!(ask(&stage, 50).await, 50);
    let later = stage.envoy.stat(fails).await.unwrap();
    assert!(later <= failed + 2, "a trial of each worker at most");
    let explained = chat(stage.address, "who is left out?").await.unwrap().ok();
    let decision = explained.header(DECISION);
    assert!(decision.contains("left_out=1"), "{decision}");
    let back = Backend::start_at(address).await;
    eventually("it has its share again", async || {
        let before = back.count();
        (ask(&stage, 24).await == 24 && back.count() == before + 24).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_two_seconds_gets_none_for_two_seconds_and_then_again() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = Stage::with_waits_and_workers(&[(&a, 0), (&b, 20_000)], 1).await;
    a.answer_overloaded(2);
    let (start, mut count) = (Instant::now(), a.count());
    let mut asked_at = Vec::new();
    while start.elapsed() < Duration::from_millis(8_500) {
        ask(&stage, 1).await;
        if a.count() > count {
            count = a.count();
            asked_at.push(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gaps: Vec<u128> = asked_at
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_millis())
        .collect();
    // The first 429 may be seen too late to read its `Retry-After`. Then the pause is one second.
    // Times are exact to a tick.
    assert!((850..2_600).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps.len() >= 3, "{gaps:?}");
    assert!(
        gaps[1..].iter().all(|gap| (1_850..2_600).contains(gap)),
        "{gaps:?}"
    );
    a.answer_with(200);
    eventually("it is used again", async || {
        let before = a.count();
        (ask(&stage, 10).await == 10 && a.count() == before + 10).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_servers_fail_requests_still_go_out_to_all_of_them_and_recover_with_them() {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0), (&b, 0), (&c, 0)]).await;
    let all = [&a, &b, &c];
    all.iter().for_each(|server| server.answer_with(500));
    ask(&stage, 30).await;
    let before = all.map(Backend::count);
    assert_eq!(ask(&stage, 90).await, 0);
    let got: Vec<usize> = all
        .iter()
        .zip(before)
        .map(|(server, before)| server.count() - before)
        .collect();
    assert_eq!(got.iter().sum::<usize>(), 90, "each is sent once");
    assert!(got.iter().all(|count| *count >= 10), "{got:?}");
    all.iter().for_each(|server| server.answer_with(200));
    assert_eq!(ask(&stage, 60).await, 60);
}
