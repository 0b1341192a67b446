//! The commands of docs/kubernetes.md, in the order of the page, in a copy of the project.
//!
//! Blocks marked `sh` run as they are. Blocks marked `shell` need nodes or a registry: of these the
//! syntax is checked, and that the objects they name are there.

use serde_json::{Value, json};

use crate::blocks::{bash, blocks, copy};
use crate::cluster::Cluster;
use crate::files::project;
use crate::kubectl::Kubectl;

/// Returns words of commands like `deployment/trimtab-gateway`.
fn objects(text: &str) -> impl Iterator<Item = &str> {
    let kinds = ["deployment/", "service/"];
    let words = text.split_whitespace();
    words.filter(move |word| kinds.iter().any(|kind| word.starts_with(kind)))
}

fn mode(kubectl: &Kubectl) -> Value {
    let deployment = kubectl.json(&["get", "deployment", "trimtab-gateway"]);
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].clone();
    let name = volumes[0]["configMap"]["name"].as_str().unwrap();
    let map = kubectl.json(&["get", "configmap", name]);
    let text = map["data"]["envoy.yaml"].as_str().unwrap();
    let envoy: Value = serde_saphyr::from_str(text).unwrap();
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let plugin = envoy.pointer(manager).unwrap()["http_filters"][0].clone();
    let settings = plugin["typed_config"]["config"]["configuration"]["value"].clone();
    let settings: Value = serde_json::from_str(settings.as_str().unwrap()).unwrap();
    settings["mode"].clone()
}

/// Everything that is labelled as a part of Trimtab in the namespace.
fn parts(kubectl: &Kubectl) -> String {
    let kinds = "deployments,services,serviceaccounts,configmaps,networkpolicies,roles,rolebindings,poddisruptionbudgets";
    let label = "app.kubernetes.io/part-of=trimtab";
    let output = kubectl.output(&["get", kinds, "-l", label, "-o", "name"]);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_commands_of_the_page_do_what_it_says() {
    let cluster = Cluster::start().await;
    let kubectl = Kubectl::of(&cluster);
    let dir = tempfile::tempdir().unwrap();
    copy(&project("deploy"), &dir.path().join("deploy"));
    let page = std::fs::read_to_string(project("docs/kubernetes.md")).unwrap();
    let mut modes = Vec::new();
    let mut headings = Vec::new();
    for block in blocks(&page) {
        bash(&block, &kubectl, dir.path());
        for object in objects(&block.text) {
            kubectl.run(&["get", object]);
        }
        headings.push(block.heading.clone());
        if block.runs && block.text.contains("apply") && block.text.contains("gateway") {
            modes.push(mode(&kubectl));
        }
        if block.text.contains("apply") && block.heading.starts_with("3.") {
            let gateway = kubectl.json(&["get", "deployment", "trimtab-gateway"]);
            let pod = &gateway["spec"]["template"]["spec"];
            let module = concat!(
                "registry.example.com/trimtab-filter:",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(pod["volumes"][1]["image"]["reference"], module);
            let aggregator = kubectl.json(&["get", "deployment", "trimtab-aggregator"]);
            let image = &aggregator["spec"]["template"]["spec"]["containers"][0]["image"];
            let own = concat!(
                "registry.example.com/trimtab-aggregator:",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(image, own);
        }
        if block.text.contains("kubectl delete") {
            assert_eq!(parts(&kubectl), "", "something is left");
        }
    }
    let steps = [json!("observe"), json!({"percent": 10}), json!("enforce")];
    assert_eq!(modes, [&steps[..], &[json!("observe")]].concat());
    assert!(headings.len() >= 10, "{headings:?}");
}

#[tokio::test]
async fn the_gateway_without_an_image_volume_has_the_module_from_a_config_map() {
    let cluster = Cluster::start().await;
    let kubectl = Kubectl::of(&cluster);
    let dir = tempfile::tempdir().unwrap();
    copy(&project("deploy/gateway"), dir.path());
    let path = dir.path().join("kustomization.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let component = "components: [components/module-in-config-map]";
    let with = text.replace(&format!("# {component}"), component);
    assert_ne!(with, text);
    std::fs::write(&path, with).unwrap();
    let module = std::env::var_os("TRIMTAB_FILTER").expect("the filter");
    let place = "components/module-in-config-map/plugin.wasm";
    std::fs::copy(module, dir.path().join(place)).unwrap();
    kubectl.apply(dir.path());
    let gateway = kubectl.json(&["get", "deployment", "trimtab-gateway"]);
    let volume = &gateway["spec"]["template"]["spec"]["volumes"];
    let volume = volume.as_array().unwrap().iter();
    let volume: Vec<_> = volume.filter(|volume| volume["name"] == "filter").collect();
    let name = volume[0]["configMap"]["name"].as_str().unwrap();
    assert!(
        volume.len() == 1 && volume[0].get("image").is_none(),
        "{volume:?}"
    );
    let map = kubectl.json(&["get", "configmap", name]);
    assert!(map["binaryData"]["plugin.wasm"].is_string());
}
