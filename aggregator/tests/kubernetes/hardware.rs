//! The hardware class of pods by the devices that they have, and by what else is known.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, eventually};
use crate::devices::{By, Devices, case, cases, create_pod, list};
use crate::inference_pool::aggregator;
use crate::objects::{NAMESPACE, allow, pods};
use crate::support::Running;

/// No server answers at this port. Only the classes matter here.
const SOURCE: &str = "pods: {labels: {app: vllm}, ports: [1]}, class_label: hardware, class: none";

fn ip(last: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(last).unwrap()))
}

/// The class of each row, by the last number of its address.
async fn classes(app: &Running) -> BTreeMap<usize, String> {
    let Some(table) = app.table("chat").await else {
        return BTreeMap::new();
    };
    let class = |row: &trimtab_loadtable::Endpoint| {
        let address: SocketAddr = row.address.parse().unwrap();
        let IpAddr::V4(ip) = address.ip() else {
            panic!("{address}");
        };
        let class = table.classes.get(usize::from(row.class?))?;
        Some((usize::from(ip.octets()[3]), class.name.clone()))
    };
    table.endpoints.iter().filter_map(class).collect()
}

/// Waits until the rows have these classes, the first that of the address that ends with 0.
async fn becomes(app: &Running, expected: &[&str]) {
    let expected: BTreeMap<usize, String> = expected
        .iter()
        .map(|class| (*class).to_owned())
        .enumerate()
        .collect();
    let mut last = BTreeMap::new();
    for _ in 0..3_000 {
        last = classes(app).await;
        if last == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{last:#?} and not {expected:#?}");
}

async fn notes(app: &Running) -> Vec<String> {
    let (_, text) = app.get("/v1/pools").await;
    let pools: Value = serde_json::from_str(&text).unwrap();
    list(&pools["pools"][0]["notes"])
        .iter()
        .map(|note| note.as_str().unwrap().to_owned())
        .collect()
}

async fn label_node(cluster: &Cluster, labels: Value) {
    let node = json!({"metadata": {"name": "node-a", "labels": labels}});
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
}

#[tokio::test]
async fn pods_have_the_class_of_their_devices_whoever_makes_these_and_however_they_are_asked_for() {
    // Plain requests have claims since 1.34, where that is switched on.
    let cluster = Cluster::start_with(&["--feature-gates=DRAExtendedResource=true"]).await;
    let client = &cluster.client;
    let devices = Devices {
        client,
        version: "v1",
    };
    label_node(&cluster, json!({"nvidia.com/gpu.product": "NVIDIA-L4"})).await;
    let admin = Patch::Merge(
        json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}),
    );
    let namespaces: Api<Namespace> = Api::all(client.clone());
    eventually("the namespace is there", async || {
        namespaces
            .patch(NAMESPACE, &PatchParams::default(), &admin)
            .await
            .ok()
    })
    .await;
    let mut slices: Vec<Value> = Vec::new();
    let cases = cases();
    for case in &cases {
        for slice in list(&case["slices"]) {
            if !slices.contains(slice) {
                devices
                    .create_slice(&format!("slice-{}", slices.len()), slice.clone())
                    .await;
                slices.push(slice.clone());
            }
        }
    }
    let app = aggregator(&cluster, "root", cluster.address().port(), SOURCE).await;
    let ways = [By::Name, By::Template, By::Limit];
    for (number, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        devices.create_claim(name, &case["results"]).await;
        create_pod(client, name, ip(number), name, ways[number % ways.len()]).await;
    }
    let expected: Vec<&str> = cases
        .iter()
        .map(|case| case["class"].as_str().unwrap())
        .collect();
    becomes(&app, &expected).await;
    assert_eq!(notes(&app).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_keeps_its_class_while_its_driver_writes_anew_and_others_wait_for_the_whole() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let devices = Devices {
        client,
        version: "v1",
    };
    let case = case("nvidia-two");
    let mut slice = case["slices"][0].clone();
    devices.create_slice("one", slice.clone()).await;
    devices.create_claim("first", &case["results"]).await;
    create_pod(client, "first", ip(0), "first", By::Template).await;
    let app = aggregator(&cluster, "root", cluster.address().port(), SOURCE).await;
    let two = "NVIDIA-A100-PCIE-40GB 40GiB x2";
    becomes(&app, &[two]).await;
    // The driver begins to write a new generation, of two slices.
    slice["pool"] = json!({"name": "nvidia-a", "generation": 2, "resourceSliceCount": 2});
    let devices_of = |slice: &Value| slice["devices"].as_array().unwrap().clone();
    let (first, last) = (
        devices_of(&slice)[..2].to_vec(),
        devices_of(&slice)[2..].to_vec(),
    );
    let mut second = slice.clone();
    slice["devices"] = json!(first);
    second["devices"] = json!(last);
    let patch = Patch::Merge(json!({"spec": slice}));
    devices
        .slices()
        .patch("one", &PatchParams::default(), &patch)
        .await
        .unwrap();
    devices
        .create_claim("second", &json!([case["results"][1]]))
        .await;
    create_pod(client, "second", ip(1), "second", By::Name).await;
    becomes(&app, &[two, "by-label"]).await;
    devices.create_slice("two", second).await;
    becomes(&app, &[two, "NVIDIA-A100-PCIE-40GB 40GiB"]).await;
}

#[tokio::test]
async fn an_older_api_server_is_asked_in_the_version_that_it_has() {
    for (version, options) in [
        (
            "v1beta2",
            &["--runtime-config=resource.k8s.io/v1=false,resource.k8s.io/v1beta2=true"],
        ),
        (
            "v1beta1",
            &["--runtime-config=resource.k8s.io/v1=false,resource.k8s.io/v1beta1=true"],
        ),
    ] {
        let cluster = Cluster::start_with(options).await;
        let client = &cluster.client;
        let devices = Devices { client, version };
        let case = case("nvidia-two");
        devices.create_slice("one", case["slices"][0].clone()).await;
        devices.create_claim("first", &case["results"]).await;
        create_pod(client, "first", ip(0), "first", By::Name).await;
        let app = aggregator(&cluster, "root", cluster.address().port(), SOURCE).await;
        becomes(&app, &["NVIDIA-A100-PCIE-40GB 40GiB x2"]).await;
    }
}

#[tokio::test]
async fn without_the_api_for_devices_the_labels_of_nodes_tell_and_nothing_is_missing() {
    let cluster = Cluster::start_with(&["--runtime-config=resource.k8s.io/v1=false"]).await;
    label_node(
        &cluster,
        json!({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}),
    )
    .await;
    create_pod(&cluster.client, "first", ip(0), "first", By::Limit).await;
    let app = aggregator(&cluster, "root", cluster.address().port(), SOURCE).await;
    becomes(&app, &["NVIDIA-L4 22GiB"]).await;
    assert_eq!(notes(&app).await, Vec::<String>::new());
    assert_eq!(
        app.metric("discovery_errors_total{pool=\"chat\"}")
            .await
            .to_bits(),
        0
    );
}

#[tokio::test]
async fn each_right_that_is_missing_is_named_once_and_only_makes_classes_less_exact() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let devices = Devices {
        client,
        version: "v1",
    };
    let case = case("nvidia-mig");
    devices.create_slice("one", case["slices"][0].clone()).await;
    devices.create_claim("first", &case["results"]).await;
    create_pod(client, "first", ip(0), "first", By::Name).await;
    label_node(
        &cluster,
        json!({"nvidia.com/gpu.product": "NVIDIA-A100-PCIE-40GB"}),
    )
    .await;
    allow(client, Some(NAMESPACE), "", "pods").await;
    let app = aggregator(&cluster, "reader", cluster.address().port(), SOURCE).await;
    becomes(&app, &["by-label"]).await;
    let rule = |place: &str, role: &str, group: &str, resource: &str| {
        format!(
            "the API server refuses {resource} in {place}; {role} has to allow: apiGroups [\"{group}\"], resources [\"{resource}\"], verbs [\"list\", \"watch\"]"
        )
    };
    let claims = rule(
        "namespace default",
        "a Role there",
        "resource.k8s.io",
        "resourceclaims",
    );
    let slices = rule(
        "all namespaces",
        "a ClusterRole",
        "resource.k8s.io",
        "resourceslices",
    );
    let nodes = rule("all namespaces", "a ClusterRole", "", "nodes");
    assert_eq!(
        notes(&app).await,
        [claims.clone(), slices.clone(), nodes.clone()]
    );
    assert_eq!(app.get("/readyz").await.0, 200);
    assert_eq!(
        app.metric("discovery_errors_total{pool=\"chat\"}")
            .await
            .to_bits(),
        0
    );

    allow(client, None, "", "nodes").await;
    becomes(&app, &["NVIDIA-A100-PCIE-40GB"]).await;
    assert_eq!(notes(&app).await, [claims.clone(), slices]);
    allow(client, None, "resource.k8s.io", "resourceslices").await;
    eventually("only claims are missing", async || {
        (notes(&app).await == [claims.clone()]).then_some(())
    })
    .await;
    allow(client, Some(NAMESPACE), "resource.k8s.io", "resourceclaims").await;
    becomes(&app, &["NVIDIA-A100-PCIE-40GB mig-1g.5gb 5GiB"]).await;
    assert_eq!(notes(&app).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_endpoints_of_a_service_have_the_class_of_their_pods() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let devices = Devices {
        client,
        version: "v1",
    };
    let case = case("nvidia-mig");
    devices.create_slice("one", case["slices"][0].clone()).await;
    devices.create_claim("first", &case["results"]).await;
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        create_pod(client, name, ip(number), name, By::Name).await;
    }
    let mut endpoints = Vec::new();
    for (number, name) in ["first", "second", "second"].into_iter().enumerate() {
        let pod = pods(client).get(name).await.unwrap();
        // The last was recreated under its name.
        let uid = pod.metadata.uid.filter(|_| number < 2);
        endpoints.push(json!({
            // Slices may not hold addresses of this machine.
            "addresses": [format!("10.1.0.{number}")], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": name, "namespace": NAMESPACE, "uid": uid.unwrap_or_else(|| "another".to_owned())},
        }));
    }
    let slice = json!({
        "metadata": {"name": "vllm-1", "labels": {"kubernetes.io/service-name": "vllm"}}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8000}], "endpoints": endpoints,
    });
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let slice = serde_json::from_value(slice).unwrap();
    slices.create(&PostParams::default(), &slice).await.unwrap();
    let source = "service: default/vllm, class_label: hardware, class: none";
    let app = aggregator(&cluster, "root", cluster.address().port(), source).await;
    becomes(
        &app,
        &["NVIDIA-A100-PCIE-40GB mig-1g.5gb 5GiB", "by-label", "none"],
    )
    .await;
}
