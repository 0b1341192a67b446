//! Tests the adoption in a running proxy step by step: ignored or only observed routes, several
//! pools, the contents of access logs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::backend::Seen;
use crate::support::client::{DECISION, DESTINATION};
use crate::support::{Backend, RELEASES, Response, Stage, StageOptions, eventually, post};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Returns a separate route for paths with this prefix.
fn route(prefix: &str, more: &Value) -> Value {
    let mut route = json!({
        "match": {"prefix": prefix},
        "route": {"cluster": "model_servers", "timeout": "0s"},
    });
    let fields = route.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    route
}

fn metadata(fields: &Value) -> Value {
    json!({"metadata": {"filter_metadata": {"trimtab": fields}}})
}

async fn ask(stage: &Stage, path: &str, model: &str) -> Response {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    post(stage.address, path, &[JSON], body.to_string())
        .await
        .unwrap()
        .ok()
}

/// Returns the fields of the newest line of the access log for that path.
async fn logged(stage: &Stage, path: &str) -> Value {
    eventually("a line in the access log", async || {
        let log = stage.envoy.log_text();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        let mut entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.rfind(|entry| entry["path"] == path)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_left_alone_observed_or_placed_as_their_metadata_says() {
    for release in RELEASES {
        let (a, b) = (Backend::start().await, Backend::start().await);
        let disabled = json!({"typed_per_filter_config": {"trimtab": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}}});
        let options = StageOptions {
            plugin: Some(r#""per_route": true, "explain_log": true"#.to_owned()),
            overlay: json!({
                "routes": [
                    route("/off", &disabled),
                    route("/observe", &metadata(&json!({"mode": "observe"}))),
                    route("/none", &metadata(&json!({"mode": "0"}))),
                    route("/mistake", &metadata(&json!({"pool": "unknown"}))),
                ],
                "access_log": {"logged": "%FILTER_STATE(wasm.trimtab_decision:PLAIN)%"},
            }),
            release: Some(release),
            ..StageOptions::default()
        };
        let (stage, aggregator) = Stage::placing_by(options, &[(&a, 0), (&b, 60_000)]).await;
        let placed = |response: &Response| {
            let text = response.header(DECISION).to_owned();
            text.contains("endpoint=") && !text.contains("mode=observe")
        };
        assert!(placed(&ask(&stage, "/v1/chat/completions", "m").await));
        for path in ["/off", "/observe", "/none", "/mistake"] {
            let path = format!("{path}/v1/chat/completions");
            for _ in 0..8 {
                let response = ask(&stage, &path, "m").await;
                assert!(!placed(&response), "{path}: {:?}", response.headers);
            }
        }
        let arrived = [a.seen(), b.seen()].concat();
        let (off_or_observed, others): (Vec<_>, Vec<_>) =
            arrived.iter().partition(|seen| seen.path.starts_with("/o"));
        assert_eq!(off_or_observed.len(), 16);
        for seen in off_or_observed {
            let destination = seen.headers.get(DESTINATION);
            assert_eq!(destination, None, "{}", seen.path);
        }
        let is_named = |seen: &&Seen| seen.headers.contains_key(DESTINATION);
        assert!(
            others.into_iter().any(|seen| is_named(&seen)),
            "those that are placed have it"
        );
        let response = ask(&stage, "/observe/v1/chat/completions", "m").await;
        let text = response.header(DECISION);
        assert!(text.contains("mode=observe; went=127.0.0.1:"), "{text}");
        assert!(text.contains("went_wait_ms="), "{text}");

        let entry = logged(&stage, "/v1/chat/completions").await;
        let decision = entry["logged"].as_str().unwrap_or_default();
        assert!(decision.starts_with("reason="), "{entry}");
        let entry = logged(&stage, "/observe/v1/chat/completions").await;
        let decision = entry["logged"].as_str().unwrap_or_default();
        assert!(decision.contains("went=127.0.0.1:"), "{entry}");
        let log = stage.envoy.log_text();
        let said = log.matches("trimtab.pool names a pool").count();
        assert!((1..=2).contains(&said), "once per worker, not {said} times");

        let observed = eventually("observations are counted", async || {
            let counts = stage.metrics("trimtab_observed_total").await;
            (counts.values().sum::<u64>() >= 17).then_some(counts)
        })
        .await;
        let other = |counts: &BTreeMap<String, u64>| {
            let mut counts = counts.iter();
            counts.any(|(name, count)| name.ends_with("choice.other") && *count > 0)
        };
        assert!(
            other(&observed),
            "least-request does not know: {observed:?}"
        );
        eventually("what was observed is in the books, and over", async || {
            aggregator.nudge();
            let report = aggregator.last_report()?;
            let rows = &report.endpoints;
            let sent: u64 = rows.iter().map(|row| row.sent).sum();
            let open: u32 = rows.iter().map(|row| row.in_flight).sum();
            (sent >= 18 && open == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_of_one_plugin_place_their_own_requests() {
    let (a, b, c) = (
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    );
    let pools = r#"[{"pool": "code", "models": ["coder*"]}, {"pool": "default"}]"#;
    let (stage, _aggregator) = Stage::with_two_pools(&[(&a, 0), (&b, 60_000)], &c, pools).await;
    stage.placing().await;
    eventually("both pools are placed on both workers", async || {
        for n in 0..24 {
            let response = ask(&stage, "/v1/chat/completions", &format!("coder-{n}")).await;
            let decision = response.header(DECISION);
            if !decision.contains(&format!("endpoint={}", c.name())) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let (before, others) = (c.count(), a.count());
    for n in 0..20 {
        ask(&stage, "/v1/chat/completions", &format!("coder-{n}")).await;
        let response = ask(&stage, "/v1/chat/completions", "m").await;
        let decision = response.header(DECISION);
        assert!(decision.contains("pool=default"), "{decision}");
    }
    assert_eq!(c.count(), before + 20);
    assert!(a.count() > others);
}
