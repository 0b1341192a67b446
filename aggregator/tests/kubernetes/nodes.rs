//! Class and zone of pods from the labels of their nodes.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use trimtab_loadtable::Table;

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::aggregator;
use crate::objects::{create_pod, ip, set_ready, two_servers};

#[tokio::test]
async fn a_pod_has_class_and_zone_of_the_node_that_it_is_on() {
    let cluster = Cluster::start().await;
    let [a, _b] = two_servers().await;
    create_pod(&cluster.client, "a", ip(2)).await;
    set_ready(&cluster.client, "a", true).await;
    let source = format!(
        "pods: {{labels: {{app: vllm}}, ports: [{}]}}, class: unknown, node_labels: true",
        a.address.port()
    );
    let app = aggregator(&cluster, "root", cluster.address().port(), &source).await;
    let said = |table: &Table| {
        let zone = table.endpoints.first().map(|row| row.zone.to_string());
        let class = table.classes.first().map(|class| class.name.clone());
        (class, zone)
    };
    let becomes = async |class: &str, zone: &str| {
        let wanted = (Some(class.to_owned()), Some(zone.to_owned()));
        eventually(class, async || {
            let table = app.table("chat").await?;
            (said(&table) == wanted).then_some(())
        })
        .await;
    };
    becomes("unknown", "").await;
    let labels =
        json!({"nvidia.com/gpu.product": "NVIDIA-L4", "topology.kubernetes.io/zone": "eu-1a"});
    let node = json!({"metadata": {"name": "node-a", "labels": labels}});
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    becomes("NVIDIA-L4", "eu-1a").await;
}
