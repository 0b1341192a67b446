//! People see why a page cannot be read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use support::{Fake, Running, Scenario, eventually, request};
use trimtab_loadtable::{Doubt, State};

#[tokio::test]
async fn the_true_reason_stands_in_the_list_of_pools_the_table_and_readyz() {
    let fine = Fake::start(Scenario::Selecting).await;
    for (scenario, why) in [
        (Scenario::Locked, "status 401"),
        (Scenario::MovedAway, "`metrics_url`"),
        (Scenario::Circling, "in a circle"),
        (Scenario::Compressed, "compressed (gzip)"),
        (Scenario::Http2, "speaks HTTP/2 alone, and pages"),
        (Scenario::Garbage, "is no HTTP/1.1"),
        (Scenario::Foreign, "neither queue, batch nor KV usage"),
    ] {
        let fake = Fake::start(scenario).await;
        let app = Running::with(&[&fine, &fake]).await;
        let _ = app
            .row(fake.address, |row| row.doubt == Some(Doubt::Unreadable))
            .await;
        let address = fake.address.to_string();
        let (_, pools) = app.get("/v1/pools").await;
        let pools: serde_json::Value = serde_json::from_str(&pools).unwrap();
        let reasons = pools["pools"][0]["reasons"].as_object().unwrap();
        let is_told =
            |text: &serde_json::Value| text.as_str().is_some_and(|text| text.contains(why));
        assert!(is_told(&reasons[&address]), "{pools}");
        let json = "accept: application/json\r\n";
        let (_, table) = request(app.address, "GET", "/v1/pools/chat/table", json, &[]).await;
        let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
        let rows = table["endpoints"].as_array().unwrap();
        let row = rows
            .iter()
            .find(|row| row["address"] == address.as_str())
            .unwrap();
        assert!(is_told(&row["reason"]), "{row}");
        let (status, ready) = app.get("/readyz").await;
        assert!(status == 200 && ready.starts_with("ready\n"), "{ready}");
        let own = format!("pool chat: {address}: ");
        let line = ready.lines().find(|line| line.starts_with(&own));
        assert!(line.is_some_and(|line| line.contains(why)), "{ready}");
        fake.set(Scenario::Selecting);
        let _ = app.row(fake.address, |row| row.state == State::Ready).await;
        eventually("nothing is wrong any more", async || {
            app.get("/readyz").await.1 == "ready\n"
        })
        .await;
    }
}

#[tokio::test]
async fn references_without_a_host_are_followed_and_identity_is_no_coding() {
    let fake = Fake::start(Scenario::MovedBelow).await;
    let app = Running::with(&[&fake]).await;
    let row = app.row(fake.address, |row| row.state == State::Ready).await;
    assert_eq!(row.running, Some(2));
}

#[tokio::test]
async fn a_token_that_is_not_there_says_nothing_of_the_servers() {
    let fake = Fake::start(Scenario::Selecting).await;
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, " \n").unwrap();
    let app = Running::start(&format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{dead}'}}, {{address: '{}'}}]}}, scrape: {{interval: 20ms, bearer_token_file: '{}'}}}}\n",
        fake.address,
        file.display()
    ))
    .await;
    let _ = app
        .row(dead, |row| row.doubt == Some(Doubt::Unreachable))
        .await;
    let _ = app
        .row(fake.address, |row| row.doubt == Some(Doubt::Unreadable))
        .await;
    assert!(fake.asked().is_empty());
    let (_, ready) = app.get("/readyz").await;
    assert!(
        ready.contains("`scrape.bearer_token_file`") && ready.contains("is empty"),
        "{ready}"
    );
}
