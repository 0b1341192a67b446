//! Tests that the deployed configuration does what it says.

use crate::support::{
    Answer, Backend, ScriptedAggregator, Stage, StageOptions, chat, config, eventually, row,
    severe, table,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_says_where_a_request_went_and_why() {
    let a = Backend::start().await;
    let (stage, _aggregator) = Stage::with_waits(&[(&a, 0)]).await;
    chat(stage.address, "hello").await.unwrap().ok();
    let line = eventually("a line with a decision", async || {
        // Envoy writes its access log in batches. Only time flushes it.
        let log = stage.envoy.log_text();
        log.lines()
            .rfind(|line| line.contains("endpoint="))
            .map(str::to_owned)
    })
    .await;
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(entry["upstream"], a.name());
    assert_eq!(entry["asked"], a.name());
    assert_eq!(entry["status"], 200);
    assert!(
        entry["decision"].as_str().unwrap().contains(&a.name()),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_the_file_without_a_warning() {
    let a = Backend::start().await;
    let aggregator =
        ScriptedAggregator::start(Answer::Table(table(1, vec![row(&a.name(), 0)]))).await;
    let stage = Stage::start(&[a.address], aggregator.address, StageOptions::default()).await;
    stage.placing().await;
    assert_eq!(severe(&stage.envoy.log_text()), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tag_of_a_metric_is_a_label_for_prometheus() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let options = StageOptions {
        plugin: Some("\"mode\": {\"percent\": 50}, \"table_max_age\": \"60s\"".to_owned()),
        ..StageOptions::default()
    };
    let rows = vec![row(&a.name(), 0), row(&b.name(), 0)];
    let aggregator = ScriptedAggregator::start(Answer::Table(table(1, rows))).await;
    let stage = Stage::start(&[a.address, b.address], aggregator.address, options).await;
    // Large, so that reports go out beside the poll. Half of the conversations are observed.
    let mut asked = 0;
    let page = eventually("all kinds are counted", async || {
        asked += 1;
        let long = format!("{asked} {}", "much to read ".repeat(4_000));
        chat(stage.address, &long).await.unwrap().ok();
        let page = stage.envoy.page("/stats/prometheus").await.unwrap();
        let all = ["trimtab_observed_total", "trimtab_report_calls_total"];
        all.iter().all(|name| page.contains(name)).then_some(page)
    })
    .await;
    let lines = page.lines().filter(|line| line.starts_with("trimtab_"));
    let names = lines.filter_map(|line| line.split('{').next());
    let allowed = ["_total", "_ms", "_bytes", "_endpoints", "_in_flight"];
    assert!(names.clone().count() > 3, "{page}");
    for name in names {
        let whole = allowed.iter().any(|end| name.ends_with(end));
        assert!(whole, "{name} has a tag in its name");
    }
}

#[test]
fn the_files_a_user_copies_name_the_same_cluster_and_paths() {
    let envoy = config::deployed();
    let endpoints = config::read("endpoints.yaml");
    let written = config::endpoints_file(&["127.0.0.1:8001".parse().unwrap()]);
    let settings = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        settings(&endpoints)[..6],
        settings(&written)[..],
        "the tests write the form that users copy"
    );
    assert!(envoy.contains("service_name: model_servers"));
    let addresses = |text: &str| {
        text.lines()
            .filter(|line| line.contains("127.0.0.1"))
            .count()
    };
    assert_eq!(
        addresses(&endpoints),
        addresses(&config::read("pool.yaml")),
        "both lists have the same servers"
    );
}
