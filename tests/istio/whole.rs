//! Nothing scripted: pods, their servers, the aggregator with its own configuration and account.

use std::process::Command;

use serde_json::json;
use trimtab::process::Child;
use trimtab_modelserver::{Profile, Server, Spec};

use crate::manifests::{Way, placing};
use crate::mesh::{AGGREGATOR, Mesh, pod};
use crate::proxy::{Kind, Proxy};
use crate::support::clients::none_failed;
use crate::support::eventually;

const TRIMTAB: &str = env!("CARGO_BIN_EXE_trimtab");

async fn server(last: u8, speed: f64) -> Server {
    let address = pod(last, 8_000);
    let spec = Spec {
        model: "m".to_owned(),
        speed,
        address: address.ip(),
        port: address.port(),
        ..Spec::new(format!("vllm-{last}"), Profile::named("a100").unwrap())
    };
    Server::start(spec).await.unwrap()
}

/// Creates a pod with the status that a kubelet would write.
async fn create_pod(mesh: &Mesh, last: u8) {
    let name = format!("vllm-{last}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "vllm"}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "vllm", "image": "vllm"}]},
    });
    mesh.apply(&pod.to_string()).await;
    set_ready(mesh, last, true);
}

fn set_ready(mesh: &Mesh, last: u8, is_ready: bool) {
    let ip = pod(last, 0).ip();
    let status = if is_ready { "True" } else { "False" };
    let status = json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": status}],
    }});
    let name = format!("vllm-{last}");
    let patch = [
        "patch",
        "pod",
        &name,
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    mesh.kubectl
        .run(&[&patch[..], &[&status.to_string()]].concat());
}

/// Starts the aggregator with the configuration of its ConfigMap and the rights of its account.
fn aggregator(mesh: &Mesh) -> Child {
    let deployment = mesh
        .kubectl
        .json(&["get", "deployment", "trimtab-aggregator"]);
    let volumes = &deployment["spec"]["template"]["spec"]["volumes"];
    let name = volumes[0]["configMap"]["name"].as_str().unwrap();
    let map = mesh.kubectl.json(&["get", "configmap", name]);
    let text = map["data"]["aggregator.yaml"].as_str().unwrap();
    // A proxy of this test has the same port of loopback.
    let own = text.replace("listen: 0.0.0.0:9190", &format!("listen: {AGGREGATOR}"));
    assert_ne!(own, text);
    let path = mesh.path("aggregator.yaml");
    std::fs::write(&path, own).unwrap();
    let mut command = Command::new(TRIMTAB);
    command.args(["aggregator", "--config"]).arg(&path);
    let account = mesh.kubectl.kubeconfig_of("default", "trimtab-aggregator");
    command.env("KUBECONFIG", account);
    Child::spawn("aggregator", &command, &mesh.path("aggregator.log")).unwrap()
}

/// Where the requests of a run went, by the explanations; empty where one was not placed.
async fn run(proxy: &Proxy) -> Vec<String> {
    let mut went = Vec::new();
    for n in 0..24 {
        let answer = proxy.ask("vllm", &format!("question {n}")).await.unwrap();
        went.push(answer.ok().endpoint().to_owned());
    }
    went
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_placed_on_as_the_api_server_tells_and_no_request_fails_without_the_aggregator() {
    let mesh = Mesh::without_servers().await;
    let mut servers = Vec::new();
    for last in [1, 2, 3] {
        servers.push(server(last, 1.0).await);
        create_pod(&mesh, last).await;
    }
    let mut aggregator_process = Some(aggregator(&mesh));
    let own = [(
        "parameters.yaml",
        "pool: default, services",
        "pool: vllm, services",
    )];
    mesh.apply(&placing(Way::TrafficExtension, &own)).await;
    let proxy = Proxy::start(Kind::Sidecar).await;
    eventually("every request is placed", async || {
        run(&proxy)
            .await
            .iter()
            .all(|went| !went.is_empty())
            .then_some(())
    })
    .await;
    let clients = proxy.flood();
    // A pod that is not ready any more drains, long before its slice says so.
    set_ready(&mesh, 3, false);
    let third = pod(3, 8_000).to_string();
    eventually("the third gets nothing", async || {
        run(&proxy)
            .await
            .iter()
            .all(|went| !went.is_empty() && *went != third)
            .then_some(())
    })
    .await;
    aggregator_process.take().unwrap().kill().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let went = run(&proxy).await;
    assert!(went.iter().all(|went| !went.is_empty()), "{went:?}");
    none_failed(&clients.stop().await);
}
