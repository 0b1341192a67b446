//! Tests that metrics have the same names and labels under Istio's bootstrap, with the names for
//! it, as under the deployed one.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trimtab_filter::names;

use crate::support::client::{DECISION, ask_body};
use crate::support::config::Form;
use crate::support::{Backend, RELEASES, Stage, StageOptions, chat, eventually, post};

/// The labels that docs/operations.md lets `extraStatTags` list.
const TAGS: [&str; 8] = [
    "pool", "reason", "answer", "call", "header", "kind", "result", "choice",
];
/// Metrics that every proxy has after a request, with their labels.
const EXPECTED: [(&str, &[&str]); 5] = [
    ("trimtab_bodies_total", &["kind", "pool"]),
    ("trimtab_decisions_total", &["pool", "reason"]),
    ("trimtab_syncs_total", &["answer", "pool"]),
    ("trimtab_table_age_ms", &["pool"]),
    ("trimtab_forged_headers_total", &["header", "pool"]),
];

/// Returns what Istio's bootstrap makes of `extraStatTags` (envoy_bootstrap.json of 1.31), beside
/// tags of its own that might take a part of a name, and its list of metrics that are kept.
fn istios() -> Value {
    let extra =
        TAGS.map(|tag| json!({"tag_name": tag, "regex": format!("({tag}=\\.=(.*?);\\.;)")}));
    let own = [
        (
            "cluster_name",
            r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)",
        ),
        ("response_code", r"_rq(_(\d{3}))$"),
        ("cache", r"(cache\.(.+?)\.)"),
        ("component", r"(component\.(.+?)\.)"),
        ("tag", r"(tag\.(.+?);\.)"),
        ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
    ];
    let own = own.map(|(tag, regex)| json!({"tag_name": tag, "regex": regex}));
    let kept = [
        "reporter=",
        "cluster_manager",
        "listener_manager",
        "server",
        "wasm",
    ];
    let kept = kept.map(|prefix| json!({"prefix": prefix}));
    json!({"stats_config": {
        "use_all_default_tags": false,
        "stats_tags": extra.into_iter().chain(own).collect::<Vec<_>>(),
        "stats_matcher": {"inclusion_list": {"patterns": kept}},
    }})
}

/// Returns the names of the filter's metrics on Prometheus' page, with their labels by name.
fn series(page: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let lines = page.lines().filter(|line| line.starts_with("trimtab_"));
    lines
        .map(|line| {
            let (name, rest) = line.split_once('{').unwrap();
            let (labels, _) = rest.split_once('}').unwrap();
            let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
            let pairs =
                pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()));
            (name.to_owned(), pairs.collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn istios_bootstrap_makes_the_same_labels_of_the_names_for_it() {
    let named = |names: &str| format!(r#""metric_names": "{names}""#);
    for (form, release) in [Form::Single, Form::Pair]
        .into_iter()
        .flat_map(|form| RELEASES.map(|release| (form, release)))
    {
        for (setting, overlay) in [("plain", json!({})), ("istio", istios())] {
            let a = Backend::start().await;
            let options = StageOptions {
                plugin: Some(named(setting)),
                form,
                overlay,
                release: Some(release),
                ..StageOptions::default()
            };
            let (stage, _aggregator) = Stage::placing_by(options, &[(&a, 0)]).await;
            let what = format!("{setting}, {form:?} on {release:?}");
            let all = eventually("everything is counted", async || {
                chat(stage.address, "hello").await.unwrap().ok();
                forge(&stage).await;
                let page = stage.envoy.page("/stats/prometheus").await.unwrap();
                let all = series(&page);
                let has = |name: &str| all.iter().any(|(own, _)| own == name);
                EXPECTED.iter().all(|(name, _)| has(name)).then_some(all)
            })
            .await;
            for (name, labels) in &all {
                names::check_metric(name).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(labels["pool"], "default", "{what}: {name}");
                let expected = EXPECTED.iter().find(|(own, _)| own == name);
                if let Some((_, expected)) = expected {
                    let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
                    assert_eq!(keys, *expected, "{what}: {name}");
                }
            }
        }
    }
}

/// Sends a request with a forged explanation, so that this is counted too.
async fn forge(stage: &Stage) {
    let headers = [("content-type", "application/json"), (DECISION, "forged")];
    let answer = post(
        stage.address,
        "/v1/chat/completions",
        &headers,
        ask_body("q"),
    )
    .await;
    drop(answer.unwrap().ok());
}
