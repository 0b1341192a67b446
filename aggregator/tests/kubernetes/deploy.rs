//! The manifests in deploy/kubernetes, as users apply them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use trimtab_aggregator::Config;
use trimtab_loadtable::State;

use crate::blocks::copy;
use crate::cluster::{Cluster, eventually};
use crate::files::project;
use crate::inference_pool::rows_of;
use crate::kubectl::Kubectl;
use crate::objects::{
    create_inference_pool, create_pod, install, install_inference_pools, ip, set_ready, two_servers,
};
use crate::support::Running;

const ACCOUNT: &str = "trimtab-aggregator";

/// An overlay.
struct Overlay {
    name: &'static str,
    namespace: &'static str,
    /// The pool of the pods with the label `app: vllm`.
    pool: &'static str,
    /// Kind of the object with the rules.
    rules: &'static str,
}

const OVERLAYS: [Overlay; 2] = [
    Overlay {
        name: "namespaced",
        namespace: "default",
        pool: "vllm",
        rules: "role",
    },
    Overlay {
        name: "cluster-wide",
        namespace: "trimtab-system",
        pool: "default.vllm",
        rules: "clusterrole",
    },
];

impl Overlay {
    fn path(&self) -> std::path::PathBuf {
        project("deploy/kubernetes/overlays").join(self.name)
    }

    /// Returns the configuration that the pod of the Deployment would read.
    fn configuration(&self, kubectl: &Kubectl) -> String {
        let get = |kind: &str, name: &str| {
            kubectl.json(&["get", kind, name, "--namespace", self.namespace])
        };
        let deployment = get("deployment", ACCOUNT);
        let volume = &deployment["spec"]["template"]["spec"]["volumes"][0];
        let name = volume["configMap"]["name"].as_str().unwrap();
        let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(args, &json!(["--config=/etc/trimtab/aggregator.yaml"]));
        let map = get("configmap", name);
        map["data"]["aggregator.yaml"].as_str().unwrap().to_owned()
    }
}

/// Starts an aggregator with this configuration under a service account. What cannot be as in a pod
/// is replaced: the listeners, the way to the API server, and the port of listed pods.
async fn start(configuration: &str, kubeconfig: &Path, port: u16) -> Running {
    let mut settings: Value = serde_saphyr::from_str(configuration).unwrap();
    let settings = settings.as_object_mut().unwrap();
    for listener in ["listen", "people", "health"] {
        assert!(settings.remove(listener).is_some(), "{listener}");
    }
    if let Some(section) = settings.get_mut("pools_from") {
        section["kubernetes"]["kubeconfig"] = json!(kubeconfig);
    }
    let pools = settings.get_mut("pools").and_then(Value::as_array_mut);
    for pool in pools.into_iter().flatten() {
        let section = &mut pool["discovery"]["kubernetes"];
        section["kubeconfig"] = json!(kubeconfig);
        section["pods"]["ports"] = json!([port]);
    }
    let lines = settings
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"));
    Running::start_with(&lines.collect::<String>()).await
}

#[tokio::test]
async fn the_server_takes_every_overlay_without_a_warning_and_a_second_time_nothing_changes() {
    let cluster = Cluster::start().await;
    install(&cluster.client, "TRIMTAB_POD_MONITOR_CRD").await;
    let kubectl = Kubectl::of(&cluster);
    eventually("PodMonitors are served", async || {
        let listed = kubectl.output(&["get", "podmonitors"]);
        listed.status.success().then_some(())
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    copy(&project("deploy/kubernetes"), dir.path());
    for overlay in OVERLAYS {
        let first = kubectl.apply(&overlay.path());
        assert!(
            first.contains("deployment.apps/trimtab-aggregator"),
            "{first}"
        );
        let config = overlay.configuration(&kubectl);
        Config::from_yaml(&config).unwrap_or_else(|problems| panic!("{problems}"));

        // With the component that is a comment in the file.
        let folder = dir.path().join("overlays").join(overlay.name);
        let path = folder.join("kustomization.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let with = text.replace("# components:", "components:");
        assert_ne!(with, text);
        std::fs::write(&path, with).unwrap();
        let second = kubectl.apply(&folder);
        assert!(
            second.contains("podmonitor.monitoring.coreos.com/"),
            "{second}"
        );
        let versions = |kind: &str| {
            let object = kubectl.json(&["get", kind, ACCOUNT, "--namespace", overlay.namespace]);
            object["metadata"]["generation"].clone()
        };
        assert_eq!(
            versions("deployment"),
            json!(1),
            "applied twice, changed never"
        );
    }
}

#[tokio::test]
async fn a_field_that_is_misspelt_in_a_manifest_is_refused() {
    let cluster = Cluster::start().await;
    let kubectl = Kubectl::of(&cluster);
    let dir = tempfile::tempdir().unwrap();
    copy(&project("deploy/kubernetes"), dir.path());
    let path = dir.path().join("base/deployment.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"),
    )
    .unwrap();
    let folder = dir.path().join("overlays/namespaced");
    let folder = folder.to_str().unwrap();
    let output = kubectl.output(&["apply", "--server-side", "--validate=strict", "-k", folder]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("readonlyRootFilesystem"), "{errors}");
}

#[tokio::test]
async fn pods_of_the_deployments_fit_the_strictest_profile() {
    let cluster = Cluster::start().await;
    let kubectl = Kubectl::of(&cluster);
    kubectl.apply(&OVERLAYS[1].path());
    kubectl.apply(&project("deploy/gateway"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pod.json");
    // The namespace of this overlay enforces the profile.
    let create = |pod: &Value| {
        std::fs::write(&path, pod.to_string()).unwrap();
        let path = path.to_str().unwrap();
        let output = kubectl.output(&["create", "-n", "trimtab-system", "-f", path]);
        String::from_utf8(output.stderr).unwrap()
    };
    for (name, namespace) in [(ACCOUNT, "trimtab-system"), ("trimtab-gateway", "default")] {
        let deployment = kubectl.json(&["get", "deployment", name, "-n", namespace]);
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(format!("{name}-0"));
        assert_eq!(create(&pod), "", "{name}");
        pod["metadata"]["name"] = json!(format!("{name}-1"));
        pod["spec"]["securityContext"]["seccompProfile"] = Value::Null;
        let refused = create(&pod);
        assert!(
            refused.contains("violates PodSecurity"),
            "{name}: {refused}"
        );
    }
}

#[tokio::test]
async fn the_service_account_may_read_what_the_configuration_needs_and_nothing_else() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    install_inference_pools(client).await;
    let kubectl = Kubectl::of(&cluster);
    let [a, b] = two_servers().await;
    for (name, last) in [("a", 2), ("b", 3)] {
        create_pod(client, name, ip(last)).await;
        set_ready(client, name, true).await;
    }
    let port = a.address.port();
    create_inference_pool(client, "vllm", port).await;
    for overlay in OVERLAYS {
        kubectl.apply(&overlay.path());
        let kubeconfig = kubectl.kubeconfig_of(overlay.namespace, ACCOUNT);
        let configuration = overlay.configuration(&kubectl);
        let app = start(&configuration, &kubeconfig, port).await;
        let both = [(a.address, State::Ready), (b.address, State::Ready)];
        rows_of(&app, overlay.pool, &both).await;

        let may = |verb: &str, resource: &str, namespace: &str| {
            let user = format!("system:serviceaccount:{}:{ACCOUNT}", overlay.namespace);
            let args = [
                "auth", "can-i", verb, resource, "--as", &user, "-n", namespace,
            ];
            kubectl.output(&args).status.success()
        };
        assert!(may("watch", "pods", "default"));
        assert_eq!(
            may("list", "pods", "kube-system"),
            overlay.rules == "clusterrole"
        );
        for (verb, resource) in [
            ("list", "secrets"),
            ("get", "secrets"),
            ("get", "pods"),
            ("get", "pods/log"),
            ("create", "pods"),
            ("delete", "pods"),
            ("list", "configmaps"),
            ("patch", "inferencepools.inference.networking.k8s.io"),
        ] {
            assert!(!may(verb, resource, overlay.namespace), "{verb} {resource}");
        }
    }
}

#[tokio::test]
async fn each_rule_is_needed_and_named_where_it_is_missing() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    install_inference_pools(client).await;
    let kubectl = Kubectl::of(&cluster);
    let [a, _b] = two_servers().await;
    create_pod(client, "a", ip(2)).await;
    set_ready(client, "a", true).await;
    create_inference_pool(client, "vllm", a.address.port()).await;
    for overlay in OVERLAYS {
        kubectl.apply(&overlay.path());
        let kubeconfig = kubectl.kubeconfig_of(overlay.namespace, ACCOUNT);
        let configuration = overlay.configuration(&kubectl);
        let namespace = ["--namespace", overlay.namespace];
        let role = kubectl.json(&[&["get", overlay.rules, ACCOUNT][..], &namespace].concat());
        let rules = role["rules"].as_array().unwrap();
        for (index, rule) in rules.iter().enumerate() {
            let mut less = rules.clone();
            less.remove(index);
            let patch = json!({ "rules": less }).to_string();
            let patch = [
                "patch",
                overlay.rules,
                ACCOUNT,
                "--type=merge",
                "-p",
                &patch,
            ];
            kubectl.run(&[&patch[..], &namespace].concat());
            let app = start(&configuration, &kubeconfig, a.address.port()).await;
            let named = format!(
                "apiGroups [{}], resources [{}], verbs [\"list\", \"watch\"]",
                rule["apiGroups"][0], rule["resources"][0]
            );
            eventually("the rule is named", async || {
                let (status, why) = app.get("/readyz").await;
                // What is missing for hardware alone is a note.
                let pools: Value = serde_json::from_str(&app.get("/v1/pools").await.1).unwrap();
                let pools = pools["pools"].as_array().unwrap();
                let notes = pools.iter().filter_map(|pool| pool["notes"].as_array());
                let mut notes = notes.flatten().filter_map(Value::as_str);
                let is_noted = notes.any(|note| note.contains(&named));
                (status == 503 && why.contains(&named) || is_noted).then_some(())
            })
            .await;
        }
    }
}

#[test]
fn every_manifest_says_at_its_head_why_it_is_there() {
    let files = Command::new("find")
        .arg(project("deploy/kubernetes"))
        .args(["-name", "*.yaml"])
        .output()
        .unwrap();
    let files = String::from_utf8(files.stdout).unwrap();
    assert!(files.lines().count() > 10, "{files}");
    for path in files.lines() {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# "), "{path} has no comment at its head");
        let documents = text.lines().filter(|line| *line == "---").count();
        assert_eq!(documents, 0, "{path} has more than one object");
    }
}
