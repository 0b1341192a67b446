//! Metrics have labels where the mesh has `extraStatTags`.

use serde_json::{Value, json};

use crate::manifests::{Way, placing};
use crate::mesh::Mesh;
use crate::proxy::{Kind, Proxy};
use crate::support::eventually;

/// The labels that docs/istio.md lists.
const TAGS: [&str; 8] = [
    "pool", "reason", "answer", "call", "header", "kind", "result", "choice",
];

/// What pilot-agent makes of `extraStatTags` in the bootstrap.
fn tags() -> Value {
    let tags = TAGS.map(|tag| json!({"tag_name": tag, "regex": format!("({tag}=\\.=(.*?);\\.;)")}));
    json!({"stats_config": {"use_all_default_tags": false, "stats_tags": tags}})
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_labels_where_the_mesh_has_extra_stat_tags() {
    let mesh = Mesh::start(Way::TrafficExtension).await;
    let named = [(
        "parameters.yaml",
        "metric_names: plain",
        "metric_names: istio",
    )];
    mesh.apply(&placing(Way::TrafficExtension, &named)).await;
    let proxy = Proxy::start_with(Kind::Sidecar, tags()).await;
    proxy.places_all_on("vllm", &mesh.vllm[0].name()).await;
    proxy.places_all_on("coder", &mesh.coder[0].name()).await;
    for pool in ["default", "code"] {
        let line = format!("trimtab_decisions_total{{pool=\"{pool}\",reason=\"");
        let other = format!("trimtab_decisions_total{{reason=\"load\",pool=\"{pool}\"");
        eventually("decisions have labels", async || {
            let page = proxy.envoy.page("/stats/prometheus").await.unwrap();
            (page.contains(&line) || page.contains(&other)).then_some(())
        })
        .await;
    }
}
