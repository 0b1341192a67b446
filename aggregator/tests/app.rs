//! Tests the aggregator over real sockets, as proxies, operators and model servers see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};
use support::{Fake, Running, Scenario, beyond, eventually, exchange, report, request};
use trimtab_loadtable::{EndpointReport, Report, State, Table};

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
    // The server fails, then answers again: the selection is tried again.
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
        (Scenario::Dripping, "late"),
        (Scenario::Huge, "too_large"),
        (Scenario::Failing, "status"),
        (Scenario::Locked, "status"),
        (Scenario::MovedAway, "redirect"),
        (Scenario::Circling, "redirect"),
        (Scenario::Compressed, "compressed"),
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
async fn a_page_that_has_moved_on_its_own_host_is_followed() {
    let fake = Fake::start(Scenario::Moved).await;
    let app = Running::with(&[&fake]).await;
    let row = app.row(fake.address, |row| row.state == State::Ready).await;
    assert_eq!(row.running, Some(2));
}

#[tokio::test]
async fn a_page_behind_a_token_is_read_with_the_one_in_the_file_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let fake = Fake::start(Scenario::Locked).await;
    let app = Running::start(&format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{}'}}]}}, scrape: {{interval: 20ms, bearer_token_file: '{}'}}}}\n",
        fake.address,
        file.display()
    ))
    .await;
    let scrapes = |result: &str| format!("scrapes_total{{pool=\"chat\",result=\"{result}\"}}");
    let (missing, refused) = (scrapes("token"), scrapes("status"));
    eventually("the file is missed", async || {
        app.metric(&missing).await >= 1.0
    })
    .await;
    std::fs::write(&file, "another\n").unwrap();
    eventually("it is refused", async || app.metric(&refused).await >= 1.0).await;
    std::fs::write(&file, "s3cret\n").unwrap();
    let row = app.row(fake.address, |row| row.state == State::Ready).await;
    assert_eq!(row.running, Some(2));
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
    eventually("ready", async || app.get("/readyz").await.0 == 200).await;
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
    // A proxy with a table of another epoch gets a table at once.
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
    // There is no newer table within the wait.
    let (status, body) = app
        .sync(&Report {
            have: Some(beyond(first.version)),
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
    // The same report again: it is counted as refused, and answered with a table.
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
async fn an_answer_says_which_report_of_the_asking_proxy_its_table_has_taken_in() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::with(&[&fake]).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let included = async |report: &Report| {
        let (body, path) = (report.encode(), "/v1/pools/chat/sync");
        let (head, _) = exchange(app.address, "POST", path, "", &body).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let header = head
            .lines()
            .find_map(|line| line.strip_prefix("x-trimtab-report: "));
        header.map(|value| value.parse::<u64>().unwrap())
    };
    // A table from before the report has not taken it in, so the header is missing.
    assert_eq!(included(&report(5)).await, None);
    let version = app.table("chat").await.unwrap().version;
    let have = |sequence| Report {
        have: Some(version),
        ..report(sequence)
    };
    assert!(included(&have(6)).await >= Some(5));
    let stranger = Report {
        proxy: 2,
        ..report(1)
    };
    assert_eq!(included(&stranger).await, None);
    eventually("the newest report is in a table", async || {
        included(&report(6)).await == Some(6)
    })
    .await;
}

#[tokio::test]
async fn urgent_reports_are_taken_in_at_once_and_answered_without_a_table() {
    let fake = Fake::start(Scenario::Selecting).await;
    let app = Running::with(&[&fake]).await;
    let _ = app.row(fake.address, |row| row.state == State::Ready).await;
    let post = async |path: &'static str, report: &Report| {
        request(app.address, "POST", path, "", &report.encode()).await
    };
    let entry = EndpointReport {
        address: fake.address.to_string(),
        in_flight: 2,
        ..EndpointReport::default()
    };
    let report = |sequence| Report {
        endpoints: vec![entry.clone()],
        ..report(sequence)
    };
    let (status, body) = post("/v1/pools/chat/report", &report(1)).await;
    assert_eq!((status, body.len()), (204, 0));
    let _ = app.row(fake.address, |row| row.in_flight == Some(2)).await;
    // A later report has overtaken this one.
    assert_eq!(post("/v1/pools/chat/report", &report(1)).await.0, 204);
    let counted = async |line: &str| app.metric(line).await.round() as i64;
    assert_eq!(
        counted("reports_total{pool=\"chat\",kind=\"news\"}").await,
        1
    );
    let refused = "reports_refused_total{pool=\"chat\",reason=\"old\"}";
    assert_eq!(counted(refused).await, 1);
    let other = Report {
        pool: "other".into(),
        ..report(2)
    };
    assert_eq!(post("/v1/pools/chat/report", &other).await.0, 400);
    assert_eq!(post("/v1/pools/chta/report", &report(2)).await.0, 404);
    let (status, _) = request(app.address, "GET", "/v1/pools/chat/report", "", &[]).await;
    assert_eq!(status, 405);
}
