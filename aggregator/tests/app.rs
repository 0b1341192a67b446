//! The aggregator as proxies, operators and model servers see it, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};
use support::{Fake, Running, Scenario, request};
use trimtab_loadtable::{EndpointReport, Report, State, Table};

fn report(sequence: u64) -> Report {
    Report {
        pool: "chat".into(),
        proxy: 1,
        sequence,
        workers: 2,
        wait_ms: 10_000,
        ..Report::default()
    }
}

#[tokio::test]
async fn a_server_that_selects_is_asked_for_the_whole_page_once() {
    let fake = Fake::start(Scenario::Selecting).await;
    *fake.waiting.lock().unwrap() = 7;
    let app = Running::with(&[&fake]).await;
    let row = app.row(fake.address, |row| row.state == State::Ready).await;
    assert_eq!((row.waiting, row.running), (Some(7), Some(2)));
    *fake.waiting.lock().unwrap() = 3;
    let _ = app.row(fake.address, |row| row.waiting == Some(3)).await;
    let asked = fake.asked();
    assert_eq!(
        asked.iter().filter(|form| **form == "whole").count(),
        1,
        "{asked:?}"
    );
    assert!(asked.len() > 2);
}

#[tokio::test]
async fn a_server_that_cannot_select_is_asked_for_the_whole_page_ever_after() {
    for scenario in [
        Scenario::EmptySelection,
        Scenario::NoSelection,
        Scenario::IgnoresSelection,
        Scenario::PartialSelection,
    ] {
        let fake = Fake::start(scenario).await;
        let app = Running::with(&[&fake]).await;
        let _ = app.row(fake.address, |row| row.state == State::Ready).await;
        *fake.waiting.lock().unwrap() = 3;
        let _ = app.row(fake.address, |row| row.waiting == Some(3)).await;
        let asked = fake.asked();
        assert_eq!(
            asked.iter().filter(|form| **form == "selected").count(),
            1,
            "{scenario:?}: {asked:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_comes_back_as_another_is_probed_again_without_a_lost_sample() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::with(&[&fake]).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    fake.set(Scenario::EmptySelection);
    *fake.waiting.lock().unwrap() = 9;
    let _ = app.row(fake.address, |row| row.waiting == Some(9)).await;
    assert!(
        (app.metric("scrapes_total{pool=\"chat\",result=\"no_signals\"}")
            .await)
            .abs()
            < 0.5
    );
    // Gone, and back: the selection is tried again.
    fake.set(Scenario::Failing);
    let _ = app
        .row(fake.address, |row| row.state == State::Suspect)
        .await;
    fake.set(Scenario::Selecting);
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fake.asked().last(), Some(&"selected"));
}

#[tokio::test]
async fn each_failure_costs_its_own_row_and_is_counted_by_reason() {
    let fine = Fake::start(Scenario::Selecting).await;
    for (scenario, reason) in [
        (Scenario::Hung, "timeout"),
        (Scenario::Dripping, "timeout"),
        (Scenario::Huge, "too_large"),
        (Scenario::Failing, "status"),
        (Scenario::Garbage, "broken"),
        (Scenario::CutShort, "broken"),
        (Scenario::Foreign, "no_signals"),
    ] {
        let fake = Fake::start(Scenario::Selecting).await;
        let app = Running::with(&[&fine, &fake]).await;
        let _ = app.row(fake.address, |row| row.state == State::Ready).await;
        fake.set(scenario);
        let row = app
            .row(fake.address, |row| row.state == State::Suspect)
            .await;
        assert_eq!(
            row.waiting,
            Some(0),
            "{scenario:?}: the last word stays, marked suspect"
        );
        let _ = app.row(fine.address, |row| row.state == State::Ready).await;
        let counted = app
            .metric(&format!(
                "scrapes_total{{pool=\"chat\",result=\"{reason}\"}}"
            ))
            .await;
        assert!(counted >= 3.0, "{scenario:?}: {counted}");
    }
}

#[tokio::test]
async fn a_dead_address_is_suspect_and_does_not_keep_the_pool_from_being_ready() {
    let fine = Fake::start(Scenario::Selecting).await;
    let dead = {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let app = Running::start(&format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{dead}'}}, {{address: '{}'}}]}}, scrape: {{interval: 20ms}}}}\n",
        fine.address
    ))
    .await;
    let _ = app.row(fine.address, |row| row.state == State::Ready).await;
    assert_eq!(app.row(dead, |_| true).await.state, State::Suspect);
    let deadline = Instant::now() + Duration::from_secs(20);
    while app.get("/readyz").await.0 != 200 {
        assert!(Instant::now() < deadline, "{:?}", app.get("/readyz").await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        app.metric("scrapes_total{pool=\"chat\",result=\"connect\"}")
            .await
            >= 1.0
    );
}

#[tokio::test]
async fn a_proxy_without_a_table_is_answered_at_once_and_one_with_the_newest_waits_for_the_next() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::start(&format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{}'}}]}}, publish_interval: 400ms}}\n",
        fake.address
    ))
    .await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let (status, bytes) = app.sync(&report(1)).await;
    let first = Table::decode(&bytes).unwrap();
    assert_eq!((status, first.pool.as_str()), (200, "chat"));
    let began = Instant::now();
    let (status, bytes) = app
        .sync(&Report {
            have: Some(first.version),
            ..report(2)
        })
        .await;
    let second = Table::decode(&bytes).unwrap();
    assert_eq!((status, second.version.epoch), (200, first.version.epoch));
    assert!(second.version.sequence > first.version.sequence);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "woken by the table and not by the end of the wait"
    );
    assert_eq!(second.deciders, Some(2));
    // Whoever has a table of another aggregator's start gets this one's.
    let other = trimtab_loadtable::Version {
        epoch: !first.version.epoch,
        sequence: u64::MAX,
    };
    assert_eq!(
        app.sync(&Report {
            have: Some(other),
            ..report(3)
        })
        .await
        .0,
        200
    );
    // No news within the wait.
    let future = trimtab_loadtable::Version {
        sequence: u64::MAX,
        ..first.version
    };
    let (status, body) = app
        .sync(&Report {
            have: Some(future),
            wait_ms: 50,
            ..report(4)
        })
        .await;
    assert_eq!((status, body.len()), (204, 0));
}

#[tokio::test]
async fn reports_reach_the_rows_and_bad_ones_are_refused_with_the_reason() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::with(&[&fake]).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let entry = EndpointReport {
        address: fake.address.to_string(),
        in_flight: 3,
        pending_tokens: 900,
        sent: 3,
        ..EndpointReport::default()
    };
    assert_eq!(
        app.sync(&Report {
            endpoints: vec![entry],
            ..report(1)
        })
        .await
        .0,
        200
    );
    let row = app.row(fake.address, |row| row.in_flight == Some(3)).await;
    assert_eq!(row.pending_tokens, Some(900));
    // A copy of it, late: counted, and answered with a table.
    assert_eq!(app.sync(&report(1)).await.0, 200);
    assert!(
        (app.metric("reports_refused_total{pool=\"chat\",reason=\"old\"}")
            .await
            - 1.0)
            .abs()
            < 0.5
    );

    let post = |path: &'static str, body: Vec<u8>| async move {
        request(app.address, "POST", path, "", &body).await
    };
    let (status, why) = post("/v1/pools/chat/sync", b"\xff\xff\xff".to_vec()).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&why));
    let (status, why) = post(
        "/v1/pools/chat/sync",
        Report {
            pool: "other".into(),
            ..report(9)
        }
        .encode(),
    )
    .await;
    assert_eq!(
        (status, String::from_utf8(why).unwrap().as_str()),
        (400, "the report is of pool other, the path says chat\n")
    );
    let (status, why) = post("/v1/pools/chta/sync", report(9).encode()).await;
    assert_eq!(
        (status, String::from_utf8(why).unwrap().as_str()),
        (404, "no such pool; this aggregator has: chat\n")
    );
    assert_eq!(
        post(
            "/v1/pools/chat/sync",
            vec![0; trimtab_loadtable::limits::REPORT_BYTES + 1]
        )
        .await
        .0,
        400
    );
    assert_eq!(
        request(app.address, "GET", "/v1/pools/chat/sync", "", &[])
            .await
            .0,
        405
    );
}

#[tokio::test]
async fn people_get_json_and_a_late_answer_says_how_late() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::start(&format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{}', zone: z1}}]}}, publish_interval: 2s}}\n",
        fake.address
    ))
    .await;
    let _ = app.row(fake.address, |_| true).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let table = app.table("chat").await.unwrap();
    assert!(table.age_ms >= 50, "{}", table.age_ms);
    let (status, body) = request(
        app.address,
        "GET",
        "/v1/pools/chat/table",
        "accept: application/json\r\n",
        &[],
    )
    .await;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &json["pool"], &json["endpoints"][0]["zone"]),
        (200, &"chat".into(), &"z1".into())
    );
    let (_, pools) = app.get("/v1/pools").await;
    assert!(pools.contains("\"name\":\"chat\""), "{pools}");
    assert_eq!(app.get("/healthz").await, (200, "ok\n".into()));
}

#[tokio::test]
async fn two_pools_do_not_mix() {
    let (a, b) = (
        Fake::start(Scenario::Selecting).await,
        Fake::start(Scenario::Failing).await,
    );
    let pool = |name: &str, fake: &Fake| {
        format!(
            "- {{name: {name}, discovery: {{endpoints: [{{address: '{}'}}]}}, scrape: {{interval: 20ms}}}}\n",
            fake.address
        )
    };
    let app = Running::start(&(pool("chat", &a) + &pool("other", &b))).await;
    let _ = app.row(a.address, |row| row.state == State::Ready).await;
    let other = app.table("other").await.unwrap();
    assert_eq!(
        (other.endpoints.len(), other.endpoints[0].state),
        (1, State::Suspect)
    );
    assert_ne!(
        other.version.epoch,
        app.table("chat").await.unwrap().version.epoch
    );
    assert_ne!(
        other.placement_key,
        app.table("chat").await.unwrap().placement_key
    );
}

#[tokio::test]
async fn a_file_is_followed_and_a_broken_one_changes_nothing_and_is_told() {
    let (a, b) = (
        Fake::start(Scenario::Selecting).await,
        Fake::start(Scenario::Selecting).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.yaml");
    let write = |text: &str| {
        // As Kubernetes and careful people do it: a new file over the old.
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
    };
    let app = Running::start(&format!(
        "- name: chat\n  discovery: {{file: {{path: '{}', interval: 20ms}}}}\n  scrape: {{interval: 20ms}}\n  publish_interval: 20ms\n",
        path.display()
    ))
    .await;
    let (status, why) = app.get("/readyz").await;
    assert!(
        status == 503 && why.contains("no endpoints listed yet"),
        "{why}"
    );
    assert_eq!(app.table("chat").await, None);

    write(&format!("endpoints: [{{address: '{}'}}]", a.address));
    let _ = app.row(a.address, |row| row.state == State::Ready).await;
    write(&format!(
        "endpoints:\n- {{address: '{}', draining: true}}\n- address: '{}'\n",
        a.address, b.address
    ));
    let _ = app.row(b.address, |row| row.state == State::Ready).await;
    let _ = app.row(a.address, |row| row.state == State::Draining).await;

    for broken in [
        "endpoints: [",
        "",
        "endpoints: [{address: 5}]",
        "endpoint: []",
    ] {
        let before = app.metric("discovery_errors_total{pool=\"chat\"}").await;
        write(broken);
        while app.metric("discovery_errors_total{pool=\"chat\"}").await <= before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            app.table("chat").await.unwrap().endpoints.len(),
            2,
            "{broken:?}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        app.table("chat").await.unwrap().endpoints.len(),
        2,
        "the file is gone, the servers are not"
    );

    write(&format!("endpoints: [{{address: '{}'}}]", b.address));
    while app.table("chat").await.unwrap().endpoints.len() != 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = a.asked().len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        a.asked().len(),
        asked,
        "nobody asks a server that was taken off the list"
    );
}

#[tokio::test]
async fn a_dns_name_is_resolved() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::start(&format!("- {{name: chat, discovery: {{dns: {{host: localhost, port: {}}}}}, scrape: {{interval: 20ms}}}}\n", fake.address.port())).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
}

#[tokio::test]
async fn stopping_answers_waiting_proxies_at_once_and_frees_the_address() {
    let fake = Fake::start(Scenario::Selecting).await;
    let mut app = Running::with(&[&fake]).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let have = app.table("chat").await.unwrap().version;
    let have = trimtab_loadtable::Version {
        sequence: u64::MAX,
        ..have
    };
    let (address, body) = (
        app.address,
        Report {
            have: Some(have),
            wait_ms: 60_000,
            ..report(1)
        }
        .encode(),
    );
    let waiting =
        tokio::spawn(
            async move { request(address, "POST", "/v1/pools/chat/sync", "", &body).await },
        );
    while app.metric("waiting_syncs{pool=\"chat\"}").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    drop(app.stop.take());
    assert_eq!(waiting.await.unwrap().0, 204);
    app.task.await.unwrap().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(std::net::TcpListener::bind(address).is_ok());
}

#[tokio::test]
async fn a_proxy_that_hangs_up_leaves_its_place() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::with(&[&fake]).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let have = trimtab_loadtable::Version {
        sequence: u64::MAX,
        ..app.table("chat").await.unwrap().version
    };
    let (address, body) = (
        app.address,
        Report {
            have: Some(have),
            wait_ms: 60_000,
            ..report(1)
        }
        .encode(),
    );
    let waiting =
        tokio::spawn(
            async move { request(address, "POST", "/v1/pools/chat/sync", "", &body).await },
        );
    while app.metric("waiting_syncs{pool=\"chat\"}").await < 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waiting.abort();
    let deadline = Instant::now() + Duration::from_secs(10);
    while app.metric("waiting_syncs{pool=\"chat\"}").await > 0.0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
