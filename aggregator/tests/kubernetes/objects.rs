//! Objects of the tests, with the status that kubelet and controllers would set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::eventually;
use crate::support::{Fake, Scenario};

pub(crate) const NAMESPACE: &str = "default";

pub(crate) fn pods(client: &Client) -> Api<Pod> {
    Api::namespaced(client.clone(), NAMESPACE)
}

/// Creates a pod on a node. Deleting such a pod takes its grace period.
pub(crate) async fn create_pod(client: &Client, name: &str, ip: IpAddr) {
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": "vllm"}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "vllm", "image": "vllm"}]},
    });
    let pod = serde_json::from_value(pod).unwrap();
    pods(client)
        .create(&PostParams::default(), &pod)
        .await
        .unwrap();
    let status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]});
    patch_status(client, name, status).await;
}

pub(crate) async fn set_ready(client: &Client, name: &str, is_ready: bool) {
    let status = if is_ready { "True" } else { "False" };
    let conditions = json!({"conditions": [{"type": "Ready", "status": status}]});
    patch_status(client, name, conditions).await;
}

pub(crate) async fn patch_status(client: &Client, name: &str, status: Value) {
    let patch = Patch::Merge(json!({ "status": status }));
    let pods = pods(client);
    pods.patch_status(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Deletes a pod as `kubectl delete` does: the pod gets 30 s.
pub(crate) async fn delete_pod(client: &Client, name: &str) {
    pods(client)
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
}

/// Removes a pod as the kubelet does when its containers have ended.
pub(crate) async fn remove_pod(client: &Client, name: &str) {
    let now = DeleteParams::default().grace_period(0);
    pods(client).delete(name, &now).await.unwrap();
}

pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Two model servers at one port of two addresses.
pub(crate) async fn two_servers() -> [Fake; 2] {
    let first = Fake::start_at(Scenario::Selecting, SocketAddr::new(ip(2), 0)).await;
    let address = SocketAddr::new(ip(3), first.address.port());
    [first, Fake::start_at(Scenario::Selecting, address).await]
}

/// Installs the definition of InferencePools, and waits until they are served.
pub(crate) async fn install_inference_pools(client: &Client) {
    install(client, "TRIMTAB_INFERENCE_POOL_CRD").await;
    eventually("InferencePools are served", async || {
        inference_pools(client)
            .list(&kube::api::ListParams::default())
            .await
            .ok()
    })
    .await;
}

/// Installs the definition in the file that this variable names.
pub(crate) async fn install(client: &Client, variable: &str) {
    let path = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set; run `cargo xtask test --only kubernetes`")
    });
    let text = std::fs::read_to_string(path).unwrap();
    let definition: DynamicObject = serde_saphyr::from_str(&text).unwrap();
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.create(&PostParams::default(), &definition)
        .await
        .unwrap();
}

pub(crate) fn inference_pools(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("inference.networking.k8s.io", "v1", "InferencePool");
    let resource = ApiResource::from_gvk_with_plural(&kind, "inferencepools");
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

/// Creates an InferencePool `vllm` that selects `app: APP`.
pub(crate) async fn create_inference_pool(client: &Client, app: &str, port: u16) {
    let pool = json!({
        "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool", "metadata": {"name": "vllm"},
        "spec": {"selector": {"matchLabels": {"app": app}}, "targetPorts": [{"number": port}]},
    });
    let pool = serde_json::from_value(pool).unwrap();
    let pools = inference_pools(client);
    pools.create(&PostParams::default(), &pool).await.unwrap();
}

/// Lets the user `reader` list and watch. `namespace`: absent means all namespaces.
pub(crate) async fn allow(client: &Client, namespace: Option<&str>, group: &str, resource: &str) {
    let kind = |kind: &str| match namespace {
        Some(_) => kind.to_owned(),
        None => format!("Cluster{kind}"),
    };
    let create = async |kind: &str, object: Value| {
        let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    };
    let metadata = json!({"name": resource});
    let rules =
        json!([{"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]}]);
    create(&kind("Role"), json!({"metadata": metadata, "rules": rules})).await;
    let api = "rbac.authorization.k8s.io";
    let role = json!({"apiGroup": api, "kind": kind("Role"), "name": resource});
    let user = json!([{"apiGroup": api, "kind": "User", "name": "reader"}]);
    let binding = json!({"metadata": metadata, "roleRef": role, "subjects": user});
    create(&kind("RoleBinding"), binding).await;
}
