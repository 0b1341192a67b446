//! Pages that take longer than the timeout.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};
use support::{Fake, LATE, Running, Scenario};
use trimtab_loadtable::{Doubt, State};

/// Name of the counter of scrapes with this result.
fn scrapes(result: &str) -> String {
    format!("scrapes_total{{pool=\"chat\",result=\"{result}\"}}")
}

#[tokio::test]
async fn a_page_that_takes_longer_than_the_timeout_is_used_with_its_age() {
    for scenario in [Scenario::Late, Scenario::DripsAll] {
        let fake = Fake::start(scenario).await;
        let app = Running::with(&[&fake]).await;
        let began = Instant::now();
        let row = app.row(fake.address, |row| row.state == State::Ready).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{scenario:?}");
        assert_eq!(row.running, Some(2), "{scenario:?}");
        assert!(row.age_ms >= 400, "{scenario:?}: {}", row.age_ms);
        let (before, began) = (fake.asked().len(), Instant::now());
        while began.elapsed() < 6 * LATE {
            let row = app.row(fake.address, |_| true).await;
            assert_eq!(row.state, State::Ready, "{scenario:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Only one scrape runs at a time.
        let asked = fake.asked().len() - before;
        assert!((4..=7).contains(&asked), "{scenario:?}: {asked}");
        fake.set(Scenario::Selecting);
        let fresh = |age_ms| age_ms < 100;
        let _ = app.row(fake.address, |row| fresh(row.age_ms)).await;
    }
}

#[tokio::test]
async fn a_page_without_end_is_late_and_one_that_never_begins_unreachable() {
    for (scenario, doubt, result, why) in [
        (
            Scenario::Dripping,
            Doubt::Late,
            "late",
            "raise `scrape.timeout`",
        ),
        (
            Scenario::Hung,
            Doubt::Unreachable,
            "timeout",
            "no answer within",
        ),
    ] {
        let fake = Fake::start(Scenario::Selecting).await;
        let app = Running::with(&[&fake]).await;
        let _ = app.row(fake.address, |row| row.state == State::Ready).await;
        let before = fake.asked().len();
        fake.set(scenario);
        let row = app
            .row(fake.address, |row| row.state == State::Suspect)
            .await;
        assert_eq!(row.doubt, Some(doubt));
        assert!(app.metric(&scrapes(result)).await >= 3.0);
        let (_, pools) = app.get("/v1/pools").await;
        let pools: serde_json::Value = serde_json::from_str(&pools).unwrap();
        let reason = &pools["pools"][0]["reasons"][fake.address.to_string()];
        assert!(
            reason.as_str().is_some_and(|reason| reason.contains(why)),
            "{pools}"
        );
        // The aggregator waits, and does not ask again quickly.
        let asked = fake.asked().len() - before;
        assert!(asked <= 5, "{scenario:?}: {asked}");
    }
}

#[tokio::test]
async fn late_pages_keep_nobody_from_its_turn() {
    let slow = [
        Fake::start(Scenario::Hung).await,
        Fake::start(Scenario::Late).await,
        Fake::start(Scenario::Late).await,
    ];
    let fine = Fake::start(Scenario::Selecting).await;
    let endpoints: Vec<String> = slow
        .iter()
        .chain([&fine])
        .map(|fake| format!("{{address: '{}'}}", fake.address))
        .collect();
    let app = Running::start(&format!(
        "- {{name: chat, publish_interval: 20ms, discovery: {{endpoints: [{}]}}, scrape: {{interval: 20ms, timeout: 100ms, concurrency: 1, select: false}}}}\n",
        endpoints.join(", ")
    ))
    .await;
    for late in &slow[1..] {
        let _ = app.row(late.address, |row| row.state == State::Ready).await;
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        for fake in slow[1..].iter().chain([&fine]) {
            let row = app.row(fake.address, |_| true).await;
            assert_eq!(row.state, State::Ready, "{}", fake.address);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
