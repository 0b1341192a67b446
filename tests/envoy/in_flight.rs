//! Tests that the requests in flight are counted, whatever way a request ends.

use std::time::Duration;

use trimtab_loadtable::What;

use crate::support::{Backend, ScriptedAggregator, Stage, chat, eventually};

/// Returns the requests in flight on a server in the newest report; absent if the report has no row
/// of it.
fn reported(aggregator: &ScriptedAggregator, backend: &Backend) -> Option<u32> {
    let rows = aggregator.last_report()?.endpoints;
    let row = rows.iter().find(|row| row.address == backend.name())?;
    Some(row.in_flight)
}

#[tokio::test(flavor = "multi_thread")]
async fn held_requests_are_reported_as_in_flight_over_both_workers_and_gone_when_answered() {
    let a = Backend::start().await;
    let (stage, aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    let baseline = aggregator.last_report().map_or(0, |report| report.decided);
    a.hold();
    let address = stage.address;
    let requests: Vec<_> = (0..12)
        .map(|n| {
            tokio::spawn(async move { chat(address, &format!("held {n}")).await.unwrap().ok() })
        })
        .collect();
    eventually("all twelve are at the server", async || {
        (a.open() == 12).then_some(())
    })
    .await;
    eventually("twelve are reported in flight", async || {
        aggregator.nudge();
        (reported(&aggregator, &a) == Some(12)).then_some(())
    })
    .await;
    a.release();
    for request in requests {
        request.await.unwrap();
    }
    let last = eventually("none is reported in flight", async || {
        aggregator.nudge();
        (reported(&aggregator, &a) == Some(0)).then(|| aggregator.last_report().unwrap())
    })
    .await;
    let row = last
        .endpoints
        .iter()
        .find(|row| row.address == a.name())
        .unwrap();
    assert!(last.decided >= baseline + 12, "{last:?}");
    assert_eq!((row.sent, row.failed), (row.finished, 0), "{row:?}");
    assert_eq!(row.started, row.sent, "each got a first body byte: {row:?}");
    assert_eq!(row.pending_tokens, 0, "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_their_clients_give_up_and_servers_reset_leave_nothing_in_flight() {
    let a = Backend::start().await;
    let (stage, aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    a.hold();
    let address = stage.address;
    let requests: Vec<_> = (0..6)
        .map(|n| tokio::spawn(async move { chat(address, &format!("given up {n}")).await }))
        .collect();
    eventually("all six are at the server", async || {
        (a.open() == 6).then_some(())
    })
    .await;
    eventually("six are reported in flight", async || {
        aggregator.nudge();
        (reported(&aggregator, &a) == Some(6)).then_some(())
    })
    .await;
    eventually("the gauge says so too", async || {
        (stage.metric("trimtab_in_flight.pool.default").await == 6).then_some(())
    })
    .await;
    let mut requests = requests;
    let left = requests.split_off(3);
    for request in &requests {
        request.abort();
    }
    eventually("three are left in flight", async || {
        aggregator.nudge();
        (reported(&aggregator, &a) == Some(3)).then_some(())
    })
    .await;
    a.reset_all();
    for request in left {
        assert_ne!(
            request.await.unwrap().map_or(0, |response| response.status),
            200
        );
    }
    eventually("none is left in flight", async || {
        aggregator.nudge();
        (reported(&aggregator, &a) == Some(0)).then_some(())
    })
    .await;
    eventually("nor by the gauge", async || {
        aggregator.nudge();
        (stage.metric("trimtab_in_flight.pool.default").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_content_do_not_end_the_prefill() {
    let a = Backend::start().await;
    let (stage, aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    a.think_for(Duration::from_millis(1_500));
    let address = stage.address;
    let before = a.count();
    let request = tokio::spawn(async move { chat(address, "think").await.unwrap().ok() });
    let row = || {
        let rows = aggregator.last_report()?.endpoints;
        rows.into_iter().find(|row| row.address == a.name())
    };
    eventually("it is at the server", async || {
        (a.count() > before).then_some(())
    })
    .await;
    // Everything but the token has come long ago.
    tokio::time::sleep(Duration::from_millis(700)).await;
    aggregator.nudge();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let thinking = row().unwrap();
    let waiting = thinking.sent - thinking.started;
    assert_eq!((thinking.in_flight, waiting), (1, 1), "{thinking:?}");
    assert!(thinking.pending_tokens > 0, "{thinking:?}");
    request.await.unwrap();
    eventually("its first token came after 1.5 s", async || {
        aggregator.nudge();
        let reports = aggregator.reports();
        let rows = reports.iter().flat_map(|report| &report.endpoints);
        let mut seen = rows.flat_map(|row| &row.seen);
        let took = seen.find(|one| one.kind == What::FirstByteSum.kind() && one.count >= 1_500)?;
        assert!(took.count < 3_000, "{took:?}");
        let row = row()?;
        (row.started == row.sent && row.pending_tokens == 0).then_some(())
    })
    .await;
}
