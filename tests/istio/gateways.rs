//! Proxies that take plugins by `targetRefs`: gateways of the Gateway API, and waypoints.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use trimtab::process::{Child, find_envoy};

use crate::istiod::{VERSION, configuration};
use crate::manifests::{Way, placing};
use crate::mesh::Mesh;
use crate::proxy::{Kind, Proxy, bootstrap, in_order};
use crate::support::eventually;

const GATEWAY_API: &str = include_str!("objects/gateway-api.yaml");
const WAYPOINT: &str = include_str!("objects/waypoint.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn every_way_places_requests_at_a_gateway_of_the_gateway_api() {
    let mut mesh = Mesh::start(Way::Session).await;
    mesh.apply(GATEWAY_API).await;
    for service in ["vllm", "coder"] {
        let label = "istio.io/persistent-session-header=x-trimtab-session";
        mesh.kubectl.run(&["label", "service", service, label]);
    }
    let parameters = [
        (
            "parameters.yaml",
            "namespace: istio-system",
            "namespace: istio-ingress",
        ),
        ("parameters.yaml", "name: waypoint }", "name: inference }"),
        ("kustomization.yaml", "# - gateway-api", "- gateway-api"),
    ];
    for way in [Way::TrafficExtension, Way::Session, Way::EnvoyFilter] {
        let objects = placing(way, &parameters);
        mesh.apply(&objects).await;
        let proxy = Proxy::start(Kind::Inference).await;
        for best in [0, 1] {
            mesh.prefer(best);
            proxy.places_all_on("vllm", &mesh.vllm[best].name()).await;
        }
        proxy.places_all_on("coder", &mesh.coder[0].name()).await;
        drop(proxy);
        let path = mesh.path("objects.yaml");
        mesh.kubectl.run(&["delete", "-f", path.to_str().unwrap()]);
    }
}

/// Starts an Envoy that says it is a waypoint, and asks istiod for one kind of resources. It does
/// not get further, because it has no certificates; what istiod has for it is enough here.
///
/// - `dir`: folder for its files.
/// - `name`: name of the pod.
/// - `kind`: `lds_config` or `cds_config`. With both it would not ask for listeners before it has
///   the certificates of clusters.
fn waypoint(dir: &Path, name: &str, kind: &str) -> Child {
    let labels = json!({
        "gateway.networking.k8s.io/gateway-name": "waypoint",
        "gateway.istio.io/managed": "istio.io-mesh-controller", "app": "waypoint",
    });
    let metadata = json!({
        "NAMESPACE": "default", "LABELS": labels, "ISTIO_VERSION": VERSION,
        "CLUSTER_ID": "Kubernetes", "ENABLE_HBONE": "true",
    });
    let id = format!("waypoint~10.1.0.40~{name}.default~default.svc.cluster.local");
    let node = json!({"id": id, "cluster": "waypoint.default", "metadata": metadata});
    let mut bootstrap = bootstrap(&node);
    let dynamic = bootstrap["dynamic_resources"].as_object_mut().unwrap();
    dynamic.retain(|key, _| key == kind || key == "ads_config");
    let path = dir.join(format!("{name}.json"));
    std::fs::write(&path, bootstrap.to_string()).unwrap();
    let mut command = Command::new(find_envoy().unwrap());
    command.arg("--config-path").arg(&path);
    command.args(["--concurrency", "1", "--disable-hot-restart"]);
    Child::spawn(name, &command, &dir.join(format!("{name}.log"))).unwrap()
}

/// Returns the filters of each chain of a listener in which ours are.
fn chains(configuration: &Value, listener: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let configs = configuration["configs"].as_array().unwrap().iter();
    let listeners = configs.filter_map(|config| config["dynamicListeners"].as_array());
    let own = listeners.flatten().filter(|own| own["name"] == listener);
    for own in own {
        let chains = own["activeState"]["listener"]["filterChains"].as_array();
        for chain in chains.into_iter().flatten() {
            let filters = chain["filters"].as_array().into_iter().flatten();
            let filters = filters.filter_map(|own| own["typedConfig"]["httpFilters"].as_array());
            let names = filters
                .flatten()
                .filter_map(|filter| filter["name"].as_str());
            found.push(names.map(str::to_owned).collect());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waypoint_has_the_session_filter_behind_the_plugins_and_knows_the_aggregator() {
    let mesh = Mesh::with_istiod(Way::Waypoint.variables()).await;
    mesh.apply(WAYPOINT).await;
    let address = json!({"status": {"addresses": [
        {"type": "Hostname", "value": "waypoint.default.svc.cluster.local"},
    ]}});
    let patch = ["patch", "gateways.gateway.networking.k8s.io", "waypoint"];
    let patch = [&patch[..], &["--subresource=status", "--type=merge", "-p"]].concat();
    mesh.kubectl
        .run(&[&patch[..], &[&address.to_string()]].concat());
    mesh.kubectl
        .run(&["label", "service", "vllm", "istio.io/use-waypoint=waypoint"]);
    let parameters = [(
        "parameters.yaml",
        "namespace: istio-system",
        "namespace: default",
    )];
    mesh.apply(&placing(Way::Waypoint, &parameters)).await;
    let dir = tempfile::tempdir().unwrap();
    let _listeners = waypoint(dir.path(), "listeners", "lds_config");
    let mut last = Value::Null;
    let wanted = [
        "trimtab-waypoint-tap",
        "trimtab-waypoint-pick",
        "trimtab.session",
        "router",
    ];
    eventually("the chain to the Service is as it should be", async || {
        last = configuration("listeners.default").await?;
        let chains = chains(&last, "main_internal");
        let has = chains.iter().any(|chain| in_order(chain, &wanted));
        has.then_some(())
    })
    .await;
    // The listener that takes tunnels is left alone.
    let tunnels = chains(&last, "connect_terminate").concat();
    assert!(
        !tunnels.iter().any(|name| name.contains("trimtab.session")),
        "{tunnels:?}"
    );
    let _clusters = waypoint(dir.path(), "clusters", "cds_config");
    let aggregator = "\"name\":\"outbound|9190||trimtab-aggregator.default.svc.cluster.local\"";
    eventually("the waypoint knows the aggregator", async || {
        let configuration = configuration("clusters.default").await?.to_string();
        configuration.contains(aggregator).then_some(())
    })
    .await;
}
