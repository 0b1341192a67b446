//! EndpointSlices of a Service.

use std::net::SocketAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, eventually};
use crate::inference_pool::{aggregator, states};
use crate::objects::NAMESPACE;

fn endpoint(ip: &str, uid: &str, ready: bool, terminating: bool) -> Value {
    json!({
        "addresses": [ip],
        "conditions": {"ready": ready, "serving": true, "terminating": terminating},
        "targetRef": {"kind": "Pod", "name": uid, "uid": uid},
    })
}

fn slice(name: &str, endpoints: &Value) -> EndpointSlice {
    let labels = json!({"kubernetes.io/service-name": "vllm"});
    let slice = json!({
        "metadata": {"name": name, "labels": labels}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8000}], "endpoints": endpoints,
    });
    serde_json::from_value(slice).unwrap()
}

#[tokio::test]
async fn all_slices_of_a_service_are_one_pool() {
    let cluster = Cluster::start().await;
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let create = async |name: &str, endpoints: Value| {
        let slice = slice(name, &endpoints);
        slices.create(&PostParams::default(), &slice).await.unwrap();
    };
    // Slices may not hold addresses of this machine, so no server answers there.
    create("vllm-1", json!([endpoint("10.1.0.1", "a", true, false)])).await;
    create(
        "vllm-2",
        json!([
            endpoint("10.1.0.2", "b", true, false),
            endpoint("10.1.0.3", "c", false, false)
        ]),
    )
    .await;
    let port = cluster.address().port();
    let app = aggregator(&cluster, "root", port, "service: default/vllm").await;
    let draining = async |expected: &[(&str, bool)]| {
        eventually("the rows are as wanted", async || {
            let states = states(&app, "chat").await;
            let rows = states.iter().map(|(address, state)| {
                let ip = address.parse::<SocketAddr>().unwrap().ip().to_string();
                (ip, *state == trimtab_loadtable::State::Draining)
            });
            let rows: Vec<_> = rows.collect();
            let rows: Vec<_> = rows
                .iter()
                .map(|(ip, drains)| (ip.as_str(), *drains))
                .collect();
            (rows == expected).then_some(())
        })
        .await;
    };
    draining(&[("10.1.0.1", false), ("10.1.0.2", false)]).await;
    let patch = json!({"endpoints": [endpoint("10.1.0.2", "b", false, true), endpoint("10.1.0.3", "c", true, false)]});
    let changed = PatchParams::default();
    slices
        .patch("vllm-2", &changed, &Patch::Merge(patch))
        .await
        .unwrap();
    draining(&[("10.1.0.1", false), ("10.1.0.2", true), ("10.1.0.3", false)]).await;
    slices
        .delete("vllm-1", &DeleteParams::default())
        .await
        .unwrap();
    draining(&[("10.1.0.2", true), ("10.1.0.3", false)]).await;
}
