//! Tests a real aggregator and real model servers, without scripted parts. Also tests a server that
//! dies under load.

use std::time::Instant;

use crate::support::fleet::Fleet;
use crate::support::load::Load;
use crate::support::{chat, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn work_that_reaches_a_server_past_the_proxy_drives_requests_to_the_other_one() {
    let fleet = Fleet::start(&[0.1, 1.0]).await;
    let (busy, idle) = (fleet.servers[0].address, fleet.servers[1].address);
    // A backlog of minutes. Only the server's own metrics show it.
    let mut backlog = tokio::task::JoinSet::new();
    for n in 0..40 {
        let prompt = format!("{n} words ").repeat(4_000);
        backlog.spawn(async move { chat(busy, &prompt).await.map(drop) });
    }
    let address = fleet.stage.address;
    eventually(
        "requests go to the idle one rather than to the busy one",
        async || {
            let before = (fleet.sent_to(busy).await, fleet.sent_to(idle).await);
            let mut questions = tokio::task::JoinSet::new();
            for n in 0..40 {
                questions
                    .spawn(async move { chat(address, &format!("question {n}")).await.map(drop) });
            }
            // Only the placement counts. An answer of the busy server would take minutes.
            let placed = async || {
                let after = (fleet.sent_to(busy).await, fleet.sent_to(idle).await);
                let (to_busy, to_idle) = (after.0 - before.0, after.1 - before.1);
                (to_busy + to_idle >= 40).then_some((to_busy, to_idle))
            };
            let (to_busy, to_idle) = eventually("all are placed", placed).await;
            (to_idle > 2 * to_busy).then_some(())
        },
    )
    .await;
    assert!(
        !backlog.is_empty() && backlog.try_join_next().is_none(),
        "the backlog outlasts the test"
    );
    backlog.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_when_the_aggregator_is_killed_and_started_again_under_load() {
    let mut fleet = Fleet::start(&[1.0, 1.0]).await;
    let load = Load::start(fleet.stage.address, 8);
    load.more(50).await;
    let age = "trimtab_table_age_ms.pool.default";
    fleet.kill_aggregator();
    // Waits until the table is too old to be used (2 s), and some more.
    eventually("the table grows old", async || {
        (fleet.stage.metric(age).await > 4_000).then_some(())
    })
    .await;
    load.more(50).await;
    fleet.start_aggregator();
    eventually("fresh tables arrive again", async || {
        (fleet.stage.metric(age).await < 1_000).then_some(())
    })
    .await;
    load.more(50).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_model_server_is_killed_under_load_only_requests_already_on_it_may_fail() {
    let mut fleet = Fleet::start(&[1.0, 1.0, 1.0]).await;
    let load = Load::start(fleet.stage.address, 12);
    load.more(100).await;
    fleet.servers[0].child.kill().unwrap();
    let killed = Instant::now();
    load.more(200).await;
    let failures = load.stop().await;
    let late: Vec<_> = failures
        .iter()
        .filter(|failure| failure.started > killed)
        .collect();
    assert!(
        late.is_empty(),
        "started after the server was gone: {late:#?}"
    );
    assert!(
        failures.len() <= 12,
        "each client had one request at most: {failures:#?}"
    );
    // The aggregator notices the missing server. The next table sends requests elsewhere at the
    // first try.
    let dead = fleet.servers[0].address;
    eventually("nothing is tried on the dead one", async || {
        let before = fleet.sent_to(dead).await;
        for n in 0..20 {
            chat(fleet.stage.address, &format!("after {n}"))
                .await
                .unwrap()
                .ok();
        }
        (fleet.sent_to(dead).await == before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_added_to_the_files_under_load_is_used_and_one_removed_is_not_and_nothing_fails() {
    let mut fleet = Fleet::start(&[0.5]).await;
    let load = Load::start(fleet.stage.address, 8);
    load.more(20).await;
    fleet.add_server(1.0).await;
    let added = fleet.servers[1].address;
    let known = "cluster.model_servers.membership_total";
    eventually("Envoy knows it", async || {
        (fleet.stage.envoy.stat(known).await.unwrap() == 2).then_some(())
    })
    .await;
    eventually("the new one gets requests", async || {
        (fleet.sent_to(added).await > 10).then_some(())
    })
    .await;
    let removed = fleet.remove_server();
    eventually("Envoy and the filter know one endpoint", async || {
        let envoy = fleet.stage.envoy.stat(known).await.unwrap();
        let filter = fleet
            .stage
            .metric("trimtab_table_endpoints.pool.default")
            .await;
        (envoy == 1 && filter == 1).then_some(())
    })
    .await;
    load.more(30).await;
    let failures = load.stop().await;
    assert!(failures.is_empty(), "{failures:#?}");
    drop(removed);
}
