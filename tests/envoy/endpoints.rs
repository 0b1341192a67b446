//! Tests endpoints that come and go while Envoy runs.

use crate::support::{Answer, Backend, Stage, chat, eventually, row, table};

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_added_to_both_files_gets_requests_and_one_removed_gets_none() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let (stage, aggregator) = Stage::with_waits(&[(&a, 10_000)]).await;
    stage.set_endpoints(&[a.address, b.address]);
    aggregator.publish(Answer::Table(table(
        2,
        vec![row(&a.name(), 10_000), row(&b.name(), 0)],
    )));
    eventually("the new one gets requests", async || {
        let before = b.count();
        chat(stage.address, "to the new one").await.unwrap().ok();
        (b.count() > before).then_some(())
    })
    .await;
    // Removed in the other order: Envoy loses the endpoint while the table still prefers it.
    stage.set_endpoints(&[a.address]);
    eventually("Envoy has one endpoint", async || {
        (stage
            .envoy
            .stat("cluster.model_servers.membership_total")
            .await
            .unwrap()
            == 1)
            .then_some(())
    })
    .await;
    let before = (a.count(), b.count());
    for _ in 0..10 {
        chat(stage.address, "to the old one").await.unwrap().ok();
    }
    assert_eq!((a.count(), b.count()), (before.0 + 10, before.1));
    aggregator.publish(Answer::Table(table(3, vec![row(&a.name(), 0)])));
    eventually("the filter's table has one endpoint", async || {
        (stage.metric("trimtab_table_endpoints.pool.default").await == 1).then_some(())
    })
    .await;
    chat(stage.address, "still here").await.unwrap().ok();
}
