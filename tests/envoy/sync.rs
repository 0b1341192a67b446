//! The workers of one proxy share one sync.

use std::time::{Duration, Instant};

use crate::support::{
    Answer, Backend, ScriptedAggregator, Stage, StageOptions, chat, eventually, row, table,
};

#[tokio::test(flavor = "multi_thread")]
async fn four_workers_share_one_sync_and_report_as_one_proxy() {
    let a = Backend::start().await;
    let aggregator =
        ScriptedAggregator::start(Answer::Table(table(1, vec![row(&a.name(), 0)]))).await;
    let stage = Stage::start(
        &[a.address],
        aggregator.address,
        StageOptions {
            workers: 4,
            ..StageOptions::default()
        },
    )
    .await;
    stage.placing().await;
    // News over news for a while; a second leader would show as a second waiting sync or a second proxy.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        aggregator.nudge();
        chat(stage.address, "hello").await.unwrap().ok();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(aggregator.most_open(), 1, "one long poll at a time");
    assert_eq!(aggregator.proxies(), 1);
    assert_eq!(aggregator.refused(), 0, "every sync carries a valid report");
    let reports = aggregator.reports();
    assert!(reports.len() > 5, "{}", reports.len());
    assert!(
        reports
            .windows(2)
            .all(|pair| pair[0].sequence < pair[1].sequence),
        "reports count up"
    );
    let last = aggregator.last_report().unwrap();
    assert!(last.workers >= 4, "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_proxy_waits_in_its_long_poll_instead_of_asking_again() {
    let a = Backend::start().await;
    let (stage, aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    let before = aggregator.reports().len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = aggregator.reports().len() - before;
    assert!(asked <= 2, "{asked} syncs in 2 s without news");
    drop(stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_reaches_a_waiting_proxy_at_once() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, aggregator) = Stage::with_waits(&[(&a, 0), (&b, 60_000)]).await;
    aggregator.publish(Answer::Table(table(
        2,
        vec![row(&a.name(), 60_000), row(&b.name(), 0)],
    )));
    let start = Instant::now();
    eventually("requests go to the other server", async || {
        stage.prefers(&b, &a).await.then_some(())
    })
    .await;
    // Far below the 10 s of the long poll, far above what a busy machine adds.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}
