//! Tests tables that are stale, broken or from the future.

use std::time::Duration;

use crate::support::{
    Answer, Backend, ScriptedAggregator, Stage, StageOptions, chat, eventually, row, table,
};

/// Returns a stage whose table sends everything to `a`. Its aggregator then answers with `answer`.
async fn after(answer: Answer, a: &Backend, b: &Backend) -> (Stage, ScriptedAggregator) {
    let (stage, aggregator) = Stage::with_waits(&[(a, 0), (b, 60_000)]).await;
    aggregator.publish(answer);
    (stage, aggregator)
}

/// Waits until a table was refused for this reason.
async fn refused(stage: &Stage, reason: &str) {
    let name = format!("trimtab_table_refusals_total.pool.default.reason.{reason}");
    eventually(&name, async || {
        (stage.metric(&name).await > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_table_are_refused_counted_and_the_last_table_stays() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) =
        after(Answer::Bytes(b"<html>not a table</html>".to_vec()), &a, &b).await;
    refused(&stage, "format").await;
    assert!(
        stage.prefers(&a, &b).await,
        "the last good table is still used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_cut_in_the_middle_is_refused_and_the_last_table_stays() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let mut bytes = table(9, vec![row(&a.name(), 60_000), row(&b.name(), 0)]).encode();
    bytes.truncate(bytes.len() / 2);
    let (stage, _aggregator) = after(Answer::Bytes(bytes), &a, &b).await;
    refused(&stage, "malformed").await;
    assert!(
        stage.prefers(&a, &b).await,
        "the last good table is still used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_newer_format_is_refused_under_that_reason_and_the_last_table_stays() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let mut bytes = table(9, vec![row(&a.name(), 60_000), row(&b.name(), 0)]).encode();
    // Field 1 is the first in every table. It is a varint and holds the format.
    assert_eq!(bytes[0], 0x08);
    bytes[1] = 0x7f;
    let (stage, _aggregator) = after(Answer::Bytes(bytes), &a, &b).await;
    refused(&stage, "format").await;
    assert!(
        stage.prefers(&a, &b).await,
        "the last good table is still used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_pool_is_refused_and_the_last_table_stays() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let mut other = table(9, vec![row(&a.name(), 60_000), row(&b.name(), 0)]);
    other.pool = "another".to_owned();
    let (stage, _aggregator) = after(Answer::Bytes(other.encode()), &a, &b).await;
    refused(&stage, "other_pool").await;
    assert!(
        stage.prefers(&a, &b).await,
        "the last good table is still used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_answers_with_errors_is_counted_and_costs_no_request() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, _aggregator) = after(Answer::Status(500), &a, &b).await;
    eventually("the error is counted", async || {
        let errors = stage.metrics("trimtab_sync_errors_total").await;
        (errors.values().sum::<u64>() > 0).then_some(())
    })
    .await;
    for _ in 0..10 {
        chat(stage.address, "hello").await.unwrap().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_table_envoy_balances_and_nothing_fails() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let aggregator = ScriptedAggregator::start(Answer::Status(503)).await;
    let stage = Stage::start(
        &[a.address, b.address],
        aggregator.address,
        StageOptions::default(),
    )
    .await;
    for n in 0..40 {
        chat(stage.address, &format!("question {n}"))
            .await
            .unwrap()
            .ok();
    }
    assert!(
        a.count() > 0 && b.count() > 0,
        "{} and {}",
        a.count(),
        b.count()
    );
    eventually("the reason is counted", async || {
        (stage.decisions("no_table").await == 40).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_table_grows_too_old_requests_are_placed_without_its_load_and_again_by_it_when_it_is_fresh()
 {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let first = table(1, vec![row(&a.name(), 0), row(&b.name(), 60_000)]);
    let aggregator = ScriptedAggregator::start(Answer::Table(first)).await;
    let options = StageOptions {
        plugin: Some("\"table_max_age\": \"500ms\"".to_owned()),
        ..StageOptions::default()
    };
    let stage = Stage::start(&[a.address, b.address], aggregator.address, options).await;
    stage.placing().await;
    // No new table for longer than the maximal age. The filter then ignores the loads in the old
    // one.
    aggregator.publish(Answer::Status(503));
    tokio::time::sleep(Duration::from_millis(700)).await;
    for n in 0..40 {
        chat(stage.address, &format!("question number {n}"))
            .await
            .unwrap()
            .ok();
    }
    assert!(
        b.count() > 0,
        "the busy one gets its share again: {} and {}",
        a.count(),
        b.count()
    );
    eventually("the reason is counted", async || {
        let stale = stage.decisions("stale_affinity").await + stage.decisions("stale_load").await;
        (stale >= 40).then_some(())
    })
    .await;
    let mut sequence = 1;
    eventually("fresh tables are followed again", async || {
        sequence += 1;
        let fresh = table(sequence, vec![row(&a.name(), 0), row(&b.name(), 60_000)]);
        aggregator.publish(Answer::Table(fresh));
        stage.prefers(&a, &b).await.then_some(())
    })
    .await;
}
