//! Tests new settings of the plugin while requests flow. The listener comes from a file that Envoy
//! watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::{DECISION, DESTINATION};
use crate::support::{Backend, Stage, StageOptions, chat, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_are_taken_under_load_and_the_table_is_not_lost() {
    let (a, b) = (Backend::start().await, Backend::start().await);
    let options = StageOptions {
        plugin: Some(r#""max_hosts": 2"#.to_owned()),
        listener_from_file: true,
        ..StageOptions::default()
    };
    let (stage, aggregator) = Stage::placing_by(options, &[(&a, 0), (&b, 20_000)]).await;
    let address = stage.address;
    let (stop, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let client = {
        let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut without = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let response = chat(address, "hello").await.unwrap().ok();
                asked.fetch_add(1, Ordering::SeqCst);
                let decision = response.header(DECISION).to_owned();
                if !decision.contains("endpoint=") {
                    without.push(decision);
                }
            }
            without
        })
    };
    let proxies = aggregator.proxies();
    let hosts = |backend: &Backend| {
        let seen = backend.seen();
        let hosts = seen.last()?.headers.get(DESTINATION)?;
        Some(hosts.to_str().unwrap().split(',').count())
    };
    assert_eq!(hosts(&a), Some(2));
    for most in [1, 2, 1] {
        stage.set_plugin(|text| {
            let other = if most == 1 { 2 } else { 1 };
            text.replace(
                &format!(r#"\"max_hosts\": {other}"#),
                &format!(r#"\"max_hosts\": {most}"#),
            )
        });
        eventually("the new settings hold", async || {
            (hosts(&a) == Some(most)).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let without = client.await.unwrap();
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked > 50, "only {asked} requests");
    assert_eq!(
        without,
        Vec::<String>::new(),
        "{} of {asked}",
        without.len()
    );
    assert_eq!(aggregator.proxies(), proxies, "it is one proxy still");
    eventually("nothing stays in flight of the old settings", async || {
        aggregator.nudge();
        let report = aggregator.last_report()?;
        let open: u32 = report.endpoints.iter().map(|row| row.in_flight).sum();
        (open == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_with_a_mistake_are_refused_and_the_old_ones_stay() {
    let a = Backend::start().await;
    let options = StageOptions {
        plugin: Some(r#""max_hosts": 2"#.to_owned()),
        listener_from_file: true,
        ..StageOptions::default()
    };
    let (stage, _aggregator) = Stage::placing_by(options, &[(&a, 0)]).await;
    stage.set_plugin(|text| text.replace(r#"\"max_hosts\": 2"#, r#"\"max_hosts\": 9"#));
    eventually("Envoy has refused it", async || {
        let log = stage.envoy.log_text();
        (log.contains("max_hosts") && log.contains("rejected")).then_some(())
    })
    .await;
    for _ in 0..10 {
        let response = chat(stage.address, "hello").await.unwrap().ok();
        assert!(response.header(DECISION).contains("endpoint="));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_is_taken_away_is_missed_and_costs_no_request() {
    let a = Backend::start().await;
    let options = StageOptions {
        listener_from_file: true,
        ..StageOptions::default()
    };
    let (stage, _aggregator) = Stage::placing_by(options, &[(&a, 0)]).await;
    let asks = async || {
        let asked = tokio::time::timeout(Duration::from_secs(5), chat(stage.address, "hello"));
        let answer = asked.await.expect("no request hangs");
        answer.unwrap().ok()
    };
    for _ in 0..20 {
        asks().await;
    }
    stage.set_plugin(|text| {
        let (before, after) = text
            .split_once("allow_on_headers_stop_iteration")
            .expect("the option");
        let after = after.replacen("true", "false", 1);
        [before, "allow_on_headers_stop_iteration", &after].concat()
    });
    eventually("the option is missed", async || {
        asks().await;
        let missed = "trimtab_setup_errors_total.pool.default.reason.no_stop_iteration";
        (stage.metric(missed).await > 0).then_some(())
    })
    .await;
    for _ in 0..20 {
        let decision = asks().await;
        assert!(decision.header(DECISION).contains("endpoint="));
    }
}
