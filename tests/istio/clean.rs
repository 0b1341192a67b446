//! The API server takes every way without a warning, and Istio's own tools find nothing in it.

use std::process::Command;

use serde_json::{Value, json};

use crate::istiod::variable;
use crate::manifests::{Changes, WAYS, Way, project, rendered, settings_text};
use crate::mesh::Mesh;

/// What may be chosen beside a way.
const BESIDE: [Changes<'static>; 3] = [
    &[],
    &[("kustomization.yaml", "# - gateway-api", "- gateway-api")],
    &[("kustomization.yaml", "# - mesh", "- mesh")],
];

/// Pods of the aggregator and of the gateway: Istio's tools miss what a selector does not find.
const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: { name: aggregator, namespace: default, labels: { app.kubernetes.io/name: trimtab-aggregator } }
spec: { containers: [{ name: aggregator, image: none }, { name: istio-proxy, image: none }] }
---
apiVersion: v1
kind: Pod
metadata: { name: gateway, namespace: istio-ingress, labels: { istio: ingressgateway } }
spec: { containers: [{ name: istio-proxy, image: none }] }
";

/// Runs istioctl. Returns whether it succeeded, and all that it said.
fn istioctl(mesh: &Mesh, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(variable("TRIMTAB_ISTIOCTL"));
    mesh.kubectl.set_up(&mut command);
    let output = command.args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_every_way_and_istioctl_finds_nothing() {
    let mesh = Mesh::without_servers().await;
    mesh.apply(PODS).await;
    let dir = tempfile::tempdir().unwrap();
    for (way, beside) in WAYS
        .into_iter()
        .flat_map(|way| BESIDE.map(|beside| (way, beside)))
    {
        let text = rendered(way, beside);
        // Server-side, and unknown fields are refused. A second time nothing changes.
        mesh.apply(&text).await;
        let path = dir.path().join("objects.yaml");
        std::fs::write(&path, &text).unwrap();
        let path = path.to_str().unwrap();
        let again = mesh.kubectl.output(&["diff", "--server-side", "-f", path]);
        assert!(again.status.success(), "{way:?} {beside:?}: {again:?}");

        let (is_valid, said) = istioctl(&mesh, &["validate", "-f", path]);
        assert!(is_valid, "{way:?} {beside:?}: {said}");
        let has_filter = matches!(way, Way::EnvoyFilter | Way::Waypoint);
        // It warns of each EnvoyFilter, whatever is in it.
        let warns = said.contains("exposes internal implementation details");
        assert_eq!(warns, has_filter, "{way:?} {beside:?}: {said}");
        let about_us = said.matches("arning").count();
        assert!(about_us <= 2 * usize::from(has_filter), "{said}");

        let (_, said) = istioctl(&mesh, &["analyze", "--all-namespaces"]);
        let has_looked = said.contains("[IST") || said.contains("No validation issues");
        assert!(has_looked, "{way:?} {beside:?}: {said}");
        let mut findings = said
            .lines()
            .filter(|line| !line.contains("exposes internal"));
        assert!(
            !findings.any(|line| line.contains("trimtab")),
            "{way:?} {beside:?}: {said}"
        );
        mesh.kubectl.run(&["delete", "-f", path]);
    }
}

#[test]
fn every_manifest_says_at_its_head_why_it_is_there() {
    let files = Command::new("find")
        .arg(project("istio"))
        .args(["-name", "*.yaml"])
        .output()
        .unwrap();
    let files = String::from_utf8(files.stdout).unwrap();
    assert!(files.lines().count() > 15, "{files}");
    for path in files.lines() {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# "), "{path} has no comment at its head");
        let documents = text.lines().filter(|line| *line == "---").count();
        assert_eq!(documents, 0, "{path} has more than one object");
    }
}

/// Requests pass where a module cannot be had, whatever way they go.
#[test]
fn no_way_refuses_requests_when_a_module_is_missing() {
    for way in WAYS {
        let text = rendered(way, &[]);
        let modules = text.matches("oci://").count();
        let open = text.matches("failStrategy: FAIL_OPEN").count();
        let open = open + text.matches("fail_open: true").count();
        assert!(modules > 0 && open == modules, "{way:?}: {text}");
    }
}

const SERVICE: &str = "
---
apiVersion: v1
kind: Service
metadata: { name: vllm, namespace: default, labels: { istio.io/persistent-session-header: x-trimtab-session } }
spec: { clusterIP: 10.96.1.1, ports: [{ name: http, port: 8000 }] }
";

#[test]
fn the_doctor_finds_nothing_in_any_way_but_what_a_user_has_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("objects.yaml");
    let doctor = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
        let output = command
            .arg("doctor")
            .arg(&path)
            .args(["-o", "json"])
            .output();
        let output = output.unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said["findings"].clone())
    };
    for way in WAYS {
        let text = rendered(way, &[]);
        let (code, said) = doctor(&text);
        assert_eq!(code, Some(1), "{way:?}: {said}");
        assert_eq!(said[0]["rule"], "module", "{way:?}: {said}");
        let named = text.replace("registry.example.com", "registry.test");
        let with_service = [&named, SERVICE].concat();
        assert_eq!(doctor(&with_service), (Some(0), json!([])), "{way:?}");
        let without_label = with_service.replace("x-trimtab-session } }", "other } }");
        let (_, said) = doctor(&without_label);
        let expected = if way == Way::Session {
            json!("label")
        } else {
            Value::Null
        };
        assert_eq!(said[0]["rule"], expected, "{way:?}: {said}");
    }
}

#[test]
fn the_settings_as_text_are_those_of_the_pairs() {
    let parameters = std::fs::read_to_string(project("istio/parameters.yaml")).unwrap();
    let parameters: Value = serde_saphyr::from_str(&parameters).unwrap();
    let mut text: Value = serde_json::from_str(&settings_text()).unwrap();
    let destination = text.as_object_mut().unwrap().remove("destination");
    let expected = json!({"form": "stateful_session", "header": "x-trimtab-session"});
    assert_eq!(destination, Some(expected));
    assert_eq!(text, parameters["spec"]["settings"]);
}

#[test]
fn the_lua_of_traffic_extensions_is_the_one_that_is_tested_elsewhere() {
    let text = std::fs::read_to_string(project("istio/ways/traffic-extension/apply.yaml")).unwrap();
    let own: Vec<&str> = text
        .split("inlineCode: |\n")
        .nth(1)
        .unwrap()
        .lines()
        .collect();
    let other = project("deploy/envoy/destinations/destination.lua");
    let other = std::fs::read_to_string(other).unwrap();
    let other: Vec<String> = other
        .lines()
        .filter(|line| !line.starts_with("--") && !line.is_empty())
        .map(|line| format!("      {line}"))
        .collect();
    assert_eq!(own, other);
}
