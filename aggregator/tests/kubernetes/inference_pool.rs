//! Pods of an InferencePool, from start to end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::json;
use trimtab_loadtable::State;

use crate::cluster::{Cluster, eventually};
use crate::objects::{
    create_inference_pool, create_pod, delete_pod, inference_pools, install_inference_pools, ip,
    remove_pod, set_ready, two_servers,
};
use crate::support::Running;

/// Starts an aggregator with one pool `chat`. `source`: text for `discovery.kubernetes`.
pub(crate) async fn aggregator(cluster: &Cluster, user: &str, port: u16, source: &str) -> Running {
    let kubeconfig = cluster.kubeconfig(user, port);
    Running::start(&format!(
        "- name: chat\n  discovery:\n    kubernetes: {{{source}, kubeconfig: '{}'}}\n  scrape: {{interval: 20ms, timeout: 150ms}}\n",
        kubeconfig.display()
    ))
    .await
}

pub(crate) async fn states(app: &Running, pool: &str) -> Vec<(String, State)> {
    let table = app.table(pool).await;
    let rows = table.into_iter().flat_map(|table| table.endpoints);
    rows.map(|row| (row.address, row.state)).collect()
}

/// Waits until the rows of `chat` are these. Returns how long it took.
pub(crate) async fn rows(app: &Running, expected: &[(SocketAddr, State)]) -> Duration {
    rows_of(app, "chat", expected).await
}

/// As `rows`, for another pool.
pub(crate) async fn rows_of(
    app: &Running,
    pool: &str,
    expected: &[(SocketAddr, State)],
) -> Duration {
    let text = |(address, state): &(SocketAddr, State)| (address.to_string(), *state);
    let expected: Vec<(String, State)> = expected.iter().map(text).collect();
    let began = Instant::now();
    loop {
        let last = states(app, pool).await;
        if last == expected {
            return began.elapsed();
        }
        let limit = Duration::from_secs(60);
        assert!(began.elapsed() < limit, "{last:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_pod_is_a_row_when_it_is_ready_drains_when_it_is_deleted_and_is_gone_with_its_object() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let [a, b] = two_servers().await;
    let port = cluster.address().port();
    let app = aggregator(&cluster, "root", port, "inference_pool: default/vllm").await;
    // First the definition is missing, then the InferencePool.
    eventually("it is told", async || {
        let (_, why) = app.get("/readyz").await;
        why.contains("is its CustomResourceDefinition installed?")
            .then_some(())
    })
    .await;
    install_inference_pools(client).await;
    eventually("it is told", async || {
        let (_, why) = app.get("/readyz").await;
        why.contains("there is no InferencePool default/vllm")
            .then_some(())
    })
    .await;
    create_pod(client, "a", ip(2)).await;
    set_ready(client, "a", true).await;
    create_pod(client, "b", ip(3)).await;
    create_inference_pool(client, "vllm", a.address.port()).await;
    rows(&app, &[(a.address, State::Ready)]).await;

    set_ready(client, "b", true).await;
    let joined = rows(
        &app,
        &[(a.address, State::Ready), (b.address, State::Ready)],
    )
    .await;
    delete_pod(client, "a").await;
    let left = rows(
        &app,
        &[(a.address, State::Draining), (b.address, State::Ready)],
    )
    .await;
    remove_pod(client, "a").await;
    let gone = rows(&app, &[(b.address, State::Ready)]).await;
    println!("ready -> row {joined:?}, deleted -> draining {left:?}, gone -> no row {gone:?}");
    for (what, took) in [("ready", joined), ("deleted", left), ("gone", gone)] {
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
    }

    // A pod whose probe fails gets no new requests, but keeps its row.
    set_ready(client, "b", false).await;
    rows(&app, &[(b.address, State::Draining)]).await;
    set_ready(client, "b", true).await;
    rows(&app, &[(b.address, State::Ready)]).await;

    // The pod with the former name and address is a new endpoint. It is not ready before it was
    // scraped.
    create_pod(client, "a", ip(2)).await;
    set_ready(client, "a", true).await;
    rows(
        &app,
        &[(a.address, State::Ready), (b.address, State::Ready)],
    )
    .await;
}

#[tokio::test]
async fn a_pool_that_selects_others_or_names_another_port_is_followed() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    install_inference_pools(client).await;
    let [a, b] = two_servers().await;
    create_pod(client, "a", ip(2)).await;
    set_ready(client, "a", true).await;
    create_inference_pool(client, "vllm", a.address.port()).await;
    let port = cluster.address().port();
    let app = aggregator(&cluster, "root", port, "inference_pool: default/vllm").await;
    rows(&app, &[(a.address, State::Ready)]).await;

    let change = async |spec: serde_json::Value| {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let pools = inference_pools(client);
        pools
            .patch("vllm", &PatchParams::default(), &patch)
            .await
            .unwrap();
    };
    let (first, second) = (a.address.port(), a.address.port().wrapping_add(1).max(1024));
    change(json!({"targetPorts": [{"number": first}, {"number": second}]})).await;
    let rank = SocketAddr::new(ip(2), second);
    eventually("a row per port", async || {
        let states = states(&app, "chat").await;
        let addresses: Vec<&str> = states.iter().map(|(address, _)| address.as_str()).collect();
        let mut both = [a.address.to_string(), rank.to_string()];
        both.sort();
        (addresses == both).then_some(())
    })
    .await;
    change(json!({"targetPorts": [{"number": first}]})).await;
    rows(&app, &[(a.address, State::Ready)]).await;

    create_pod(client, "b", ip(3)).await;
    set_ready(client, "b", true).await;
    let labels = Patch::Merge(json!({"metadata": {"labels": {"app": "other"}}}));
    let pods = crate::objects::pods(client);
    pods.patch("b", &PatchParams::default(), &labels)
        .await
        .unwrap();
    rows(&app, &[(a.address, State::Ready)]).await;
    change(json!({"selector": {"matchLabels": {"app": "other"}}})).await;
    rows(&app, &[(b.address, State::Ready)]).await;
}
