//! Pools come, change and end: lists of endpoints change, calls are cut, an aggregator stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};
use support::{Fake, Running, Scenario, WAITING, eventually, report};
use trimtab_loadtable::{Report, State, Table};

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
    let key = async |pool: &str| {
        let report = Report {
            pool: pool.to_owned(),
            ..report(1)
        };
        let (_, bytes) = app.sync(&report).await;
        Table::decode(&bytes).unwrap().placement_key
    };
    assert_ne!(key("other").await, key("chat").await);
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
        // As Kubernetes and careful people do it: a new file replaces the old one.
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
        eventually("the broken list is told", async || {
            app.metric("discovery_errors_total{pool=\"chat\"}").await > before
        })
        .await;
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
    eventually("one is left", async || {
        app.table("chat").await.unwrap().endpoints.len() == 1
    })
    .await;
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
async fn a_list_that_is_written_in_place_and_slowly_never_loses_an_endpoint() {
    let (a, b) = (
        Fake::start(Scenario::Selecting).await,
        Fake::start(Scenario::Selecting).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.yaml");
    let whole = format!(
        "endpoints:\n- address: '{}'\n- address: '{}'\n",
        a.address, b.address
    );
    std::fs::write(&path, &whole).unwrap();
    let app = Running::start(&format!(
        "- name: chat\n  discovery: {{file: {{path: '{}', interval: 20ms}}}}\n  scrape: {{interval: 20ms}}\n  publish_interval: 20ms\n",
        path.display()
    ))
    .await;
    let _ = app.row(b.address, |row| row.state == State::Ready).await;
    for _ in 0..3 {
        // The text is cut where it is a valid list of one endpoint.
        let cut = whole.len() - whole.lines().last().unwrap().len() - 1;
        let mut text = whole[..cut].to_owned();
        for _ in 0..10 {
            std::fs::write(&path, &text).unwrap();
            text.push('#');
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(app.table("chat").await.unwrap().endpoints.len(), 2);
        }
        std::fs::write(&path, &whole).unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(app.table("chat").await.unwrap().endpoints.len(), 2);
    }
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
    let (address, waiting) = (app.address, app.waiting_sync().await);
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
    let waiting = app.waiting_sync().await;
    waiting.abort();
    eventually("nobody waits", async || app.metric(WAITING).await < 1.0).await;
}
