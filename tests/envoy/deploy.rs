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
