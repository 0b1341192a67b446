//! Tests two pairs of tap and pick in one chain, each with the requests to a Service of its own, on
//! the oldest and the newest Envoy.

use serde_json::{Value, json};

use crate::support::client::{chat_body, post};
use crate::support::config::Form;
use crate::support::stage::filter;
use crate::support::{
    Answer, Backend, RELEASES, ScriptedAggregator, Stage, StageOptions, eventually, mesh,
    no_faults, row, table,
};

const LLAMA: &str = "outbound|8000||llama.models.svc.cluster.local";
const CODER: &str = "outbound|9000||coder.models.svc.cluster.local";

/// Returns a plugin of the second pair.
fn plugin(role: &str, module: &str) -> Value {
    let settings = json!({
        "role": role, "pool": "code", "services": ["models/coder:9000"], "table_max_age": "60s",
        "aggregator": {"cluster": "trimtab_aggregator"}, "explain_header": "x-trimtab-decision",
    });
    let module = filter().with_file_name(module);
    let kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let text = "type.googleapis.com/google.protobuf.StringValue";
    json!({"name": format!("second_{role}"), "typed_config": {"@type": kind, "config": {
        "name": format!("second_{role}"),
        "failure_policy": "FAIL_OPEN",
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}},
        "configuration": {"@type": text, "value": settings.to_string()},
    }}})
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pairs_place_the_requests_of_their_own_services_beside_and_around_each_other() {
    let (tap, pick) = (plugin("tap", "filter.wasm"), plugin("pick", "pick.wasm"));
    let beside = json!({"http_filters_after": [tap, pick]});
    let around = json!({"http_filters_before": [tap], "http_filters_after": [pick]});
    for (release, place) in RELEASES
        .into_iter()
        .flat_map(|release| [(release, &beside), (release, &around)])
    {
        let servers = [
            Backend::start().await,
            Backend::start().await,
            Backend::start().await,
            Backend::start().await,
        ];
        let [a, b, c, d] = &servers;
        let rows = |best: &Backend, worst: &Backend| {
            vec![row(&best.name(), 0), row(&worst.name(), 600_000)]
        };
        let aggregator = ScriptedAggregator::start(Answer::Table(table(1, rows(a, b)))).await;
        let mut code = table(1, rows(c, d));
        "code".clone_into(&mut code.pool);
        aggregator.add(code);
        let mut overlay = json!({
            "clusters": [mesh::cluster(LLAMA, &[a, b]), mesh::cluster(CODER, &[c, d])],
            "routes": [mesh::route(Some("coder"), CODER), mesh::route(None, LLAMA)],
        });
        let parts = place.as_object().unwrap().clone();
        overlay.as_object_mut().unwrap().extend(parts);
        let options = StageOptions {
            plugin: Some(r#""services": ["models/llama:8000"], "table_max_age": "60s""#.to_owned()),
            form: Form::Pair,
            overlay,
            release: Some(release),
            ..StageOptions::default()
        };
        let stage = Stage::start(&[a.address, b.address], aggregator.address, options).await;
        for (to, best, worst) in [("llama", a, b), ("coder", c, d)] {
            let mut placed = 0;
            eventually("a run of requests goes to the best server", async || {
                let (first, second) = (best.count(), worst.count());
                let headers = [("content-type", "application/json"), ("x-to", to)];
                let body = chat_body("q");
                let answer = post(stage.address, "/v1/chat/completions", &headers, body).await;
                let is_placed = answer.unwrap().ok().endpoint() == best.name();
                let went = (best.count() - first, worst.count() - second);
                assert!(
                    !is_placed || went == (1, 0),
                    "{to} on {release:?}: {went:?}"
                );
                placed = if is_placed { placed + 1 } else { 0 };
                (placed == 24).then_some(())
            })
            .await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        no_faults(&stage).await;
    }
}
