use std::path::PathBuf;

use super::finding::Level;
use super::{plugin, resource, rules};

/// Returns a plugin of a pair.
fn plugin(role: &str, priority: u32, more: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{ name: trimtab-{role}, namespace: istio-system }}
spec:
  selector: {{ matchLabels: {{ a: b }} }}
  priority: {priority}
  url: oci://r/trimtab:1
  failStrategy: FAIL_OPEN
  pluginConfig:
    role: {role}
    pools: [{{ pool: chat, services: [default/vllm:8000] }}]
    aggregator: {{ cluster: \"outbound|9190||agg.default.svc.cluster.local\" }}
    destination: {{ form: stateful_session, header: x-s }}
{more}---
"
    )
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: { name: vllm, labels: { istio.io/persistent-session-header: x-s } }
spec: { clusterIP: 10.0.0.1, ports: [{ name: http, port: 8000 }] }
---
";

fn pair() -> String {
    plugin("tap", 20, "") + &plugin("pick", 10, "") + SERVICE
}

/// Rules that found something, with their objects.
fn findings(text: &str) -> Vec<(Level, &'static str, String)> {
    let resources = resource::read("test", text).unwrap();
    let plugins = plugin::all(&resources);
    let found = rules::examine(&resources, &plugins);
    assert!(found.iter().all(|finding| !finding.remedy.is_empty()));
    found
        .into_iter()
        .map(|finding| (finding.level, finding.rule, finding.object))
        .collect()
}

#[track_caller]
fn finds(text: &str, expected: &[(Level, &'static str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(level, rule, object)| (*level, *rule, (*object).to_owned()))
        .collect();
    assert_eq!(findings(text), expected, "{text}");
}

const TAP: &str = "WasmPlugin istio-system/trimtab-tap";
const PICK: &str = "WasmPlugin istio-system/trimtab-pick";
const VLLM: &str = "Service default/vllm";

#[test]
fn a_pair_with_a_labelled_service_is_fine() {
    finds(&pair(), &[]);
}

#[test]
fn a_pair_must_be_whole_in_order_equal_and_fail_open() {
    use Level::Error;
    finds(&(plugin("tap", 20, "") + SERVICE), &[(Error, "pair", TAP)]);
    finds(
        &(plugin("pick", 20, "") + SERVICE),
        &[(Error, "pair", PICK)],
    );
    for (from, to, expected) in [
        ("priority: 20", "priority: 5", (Error, "order", TAP)),
        (
            "priority: 20",
            "priority: 20\n  phase: STATS",
            (Error, "order", TAP),
        ),
        ("FAIL_OPEN", "FAIL_RELOAD", (Error, "fail-open", TAP)),
        (
            "role: tap",
            "role: tap\n    tick: 50ms",
            (Error, "settings-differ", TAP),
        ),
        (
            "role: tap",
            "role: tap\n    tik: 50ms",
            (Error, "settings", TAP),
        ),
        (
            "oci://r/",
            "oci://registry.example.com/",
            (Error, "module", TAP),
        ),
    ] {
        let changed = pair().replacen(from, to, 1);
        let found = findings(&changed);
        let expected = (expected.0, expected.1, expected.2.to_owned());
        assert!(found.contains(&expected), "{to}: {found:?}");
    }
    let elsewhere = plugin("tap", 20, "") + &plugin("pick", 10, "").replace("a: b", "a: c");
    finds(
        &(elsewhere + SERVICE),
        &[(Error, "pair", TAP), (Error, "pair", PICK)],
    );
}

#[test]
fn what_hinders_a_service_is_told() {
    use Level::{Error, Warning};
    for (from, to, expected) in [
        (
            "x-s } }\nspec: { clusterIP",
            "x-t } }\nspec: { clusterIP",
            (Error, "label", VLLM),
        ),
        ("persistent-session-header", "other", (Error, "label", VLLM)),
        ("10.0.0.1", "None", (Warning, "headless", VLLM)),
        ("name: http", "name: tcp-vllm", (Error, "protocol", VLLM)),
        ("port: 8000 }", "port: 80 }", (Error, "port", VLLM)),
    ] {
        finds(&pair().replace(from, to), &[expected]);
    }
}

#[test]
fn lua_needs_its_reader_behind_pick_and_no_tunnel() {
    use Level::Error;
    let extension = |role: &str, priority: u32| {
        format!(
            "kind: TrafficExtension
metadata: {{ name: trimtab-{role}, namespace: m }}
spec:
  priority: {priority}
  wasm:
    url: oci://r/t:1
    failStrategy: FAIL_OPEN
    pluginConfig:
      role: {role}
      pools: [{{ pool: chat, services: [default/vllm:8000] }}]
      aggregator: {{ cluster: c }}
      destination: {{ form: lua }}
---
"
        )
    };
    let lua = |priority: u32| {
        format!(
            "kind: TrafficExtension
metadata: {{ name: trimtab-apply, namespace: m }}
spec:
  priority: {priority}
  lua: {{ inlineCode: 'h:get(\"x-gateway-destination-endpoint\") r:setUpstreamOverrideHost(h, false)' }}
---
"
        )
    };
    let pair = extension("tap", 30) + &extension("pick", 20);
    let pick = "TrafficExtension m/trimtab-pick";
    finds(&(pair.clone() + &lua(5) + SERVICE), &[]);
    finds(
        &(pair.clone() + &lua(25) + SERVICE),
        &[(Error, "order", pick)],
    );
    finds(&(pair.clone() + SERVICE), &[(Error, "lua", pick)]);
    let ambient = "kind: Namespace\nmetadata: { name: default, labels: { istio.io/dataplane-mode: ambient } }\n";
    finds(
        &(pair + &lua(5) + SERVICE + ambient),
        &[(Error, "hbone", VLLM)],
    );
}

#[test]
fn clusters_that_envoy_refuses_are_told_before_it_does() {
    use Level::{Error, Warning};
    let patch = "kind: EnvoyFilter
metadata: { name: policy, namespace: istio-system }
spec:
  configPatches:
  - applyTo: CLUSTER
    match: { cluster: { service: vllm.default.svc.cluster.local } }
    patch: { operation: MERGE, value: { load_balancing_policy: {} } }
---
";
    let rule = "kind: DestinationRule
metadata: { name: vllm, namespace: default }
spec:
  host: vllm
  trafficPolicy: { loadBalancer: { localityLbSetting: { distribute: [{ from: a, to: { b: 100 } }] } } }
---
";
    let filter = "EnvoyFilter istio-system/policy";
    finds(&(pair() + patch), &[]);
    finds(
        &(pair() + patch + rule),
        &[
            (Error, "cluster-refused", filter),
            (Warning, "distribute", "DestinationRule default/vllm"),
        ],
    );
    let headless = pair().replace("10.0.0.1", "None");
    finds(
        &(headless + patch),
        &[
            (Error, "cluster-refused", filter),
            (Warning, "headless", VLLM),
        ],
    );
}

#[test]
fn the_way_to_the_aggregator_is_looked_at() {
    use Level::{Error, Warning};
    let sidecar = |host: &str| {
        format!(
            "kind: Sidecar\nmetadata: {{ name: s, namespace: clients }}\nspec: {{ egress: [{{ hosts: ['{host}'] }}] }}\n---\n"
        )
    };
    for (host, hides) in [
        ("clients/*", true),
        ("./*", true),
        ("default/vllm.default.svc.cluster.local", true),
        ("default/*", false),
        ("*/*", false),
        ("*/*.default.svc.cluster.local", false),
        ("*/*.gg.default.svc.cluster.local", true),
        ("default/agg.default.svc.cluster.local", false),
    ] {
        for (from, to, level) in [
            // In the root namespace, with labels that pods beside the Sidecar may have.
            ("", "", Warning),
            ("selector: { matchLabels: { a: b } }", "selector: {}", Error),
            ("istio-system", "clients", Error),
        ] {
            let expected = [(level, "sidecar", "Sidecar clients/s")];
            let expected = if hides { &expected[..] } else { &[] };
            let plugins = if from.is_empty() {
                pair()
            } else {
                pair().replace(from, to)
            };
            finds(&(plugins + &sidecar(host)), expected);
        }
        // Another team's.
        let other = pair().replace("istio-system", "others");
        finds(&(other.clone() + &sidecar(host)), &[]);
        // The default of all namespaces.
        let root = sidecar(host).replace("clients", "istio-system");
        let expected = [(Error, "sidecar", "Sidecar istio-system/s")];
        let expected = if hides { &expected[..] } else { &[] };
        finds(&(other + &root), expected);
    }
    let policy = "kind: AuthorizationPolicy
metadata: { name: a, namespace: default }
spec: { rules: [{ to: [{ operation: { paths: ['/v1/pools/*/sync'] } }] }] }
";
    finds(
        &(pair() + policy),
        &[(Error, "path", "AuthorizationPolicy default/a")],
    );
    let service = "kind: Service\nmetadata: { name: agg }\nspec: { clusterIP: 10.0.0.2, ports: [{ port: 80 }] }\n";
    finds(
        &(pair() + service),
        &[(Error, "aggregator", TAP), (Error, "aggregator", PICK)],
    );
}

#[test]
fn an_envoy_filter_hands_its_plugin_a_text() {
    let filter = |value: &str| {
        format!(
            "kind: EnvoyFilter
metadata: {{ name: trimtab, namespace: m }}
spec:
  configPatches:
  - applyTo: EXTENSION_CONFIG
    patch:
      value:
        typed_config:
          config: {{ fail_open: true, configuration: {{ value: {value} }} }}
"
        )
    };
    let settings =
        r#"{"pool": "chat", "services": ["default/vllm:8000"], "aggregator": {"cluster": "c"}}"#;
    finds(&filter(&format!("'{settings}'")), &[]);
    let name = "EnvoyFilter m/trimtab";
    finds(&filter(settings), &[(Level::Error, "settings-text", name)]);
}

#[test]
fn one_plugin_or_two_that_want_the_same_are_told() {
    use Level::{Error, Warning};
    finds(
        &(plugin("single", 20, "") + SERVICE),
        &[(Error, "alone", "WasmPlugin istio-system/trimtab-single")],
    );
    let other = pair().replace("trimtab-", "other-");
    finds(
        &(pair() + &other),
        &[(Error, "twice", TAP), (Error, "twice", PICK)],
    );
    // A pair for other proxies.
    finds(&(pair() + &other.replace("a: b", "a: c")), &[]);
    finds(
        &pair().replace(", services: [default/vllm:8000]", ""),
        &[
            (Warning, "every-service", TAP),
            (Warning, "every-service", PICK),
        ],
    );
}

#[test]
fn subsets_and_gateways_without_wasm_are_told() {
    use Level::{Error, Warning};
    let rule = "kind: DestinationRule
metadata: { name: vllm, namespace: default }
spec: { host: vllm, subsets: [{ name: v1, labels: { version: v1 } }] }
";
    finds(
        &(pair() + rule),
        &[(Warning, "subsets", "DestinationRule default/vllm")],
    );
    let targeted = pair().replace(
        "selector: { matchLabels: { a: b } }",
        "targetRefs: [{ kind: Gateway, name: g }]",
    );
    let gateway = |class: &str| {
        format!(
            "kind: Gateway\nmetadata: {{ name: g, namespace: istio-system }}\nspec: {{ gatewayClassName: {class} }}\n"
        )
    };
    finds(
        &(targeted.clone() + &gateway("istio-agentgateway")),
        &[(Error, "no-wasm", "Gateway istio-system/g")],
    );
    finds(&(targeted + &gateway("istio")), &[]);
}

#[test]
fn standard_input_is_read_as_a_whole_or_refused() {
    assert_eq!(super::whole(&b"a: \xc3\xa9"[..], 5).unwrap(), "a: é");
    let error = super::whole(&b"a: \xc3\xa9"[..], 4).unwrap_err();
    assert!(error.to_string().contains("more than 4"), "{error}");
}

#[test]
fn lists_of_kubectl_are_read_like_files() {
    let resources = resource::read("test", &pair()).unwrap();
    let list = format!(
        "kind: List\nitems:\n- {}\n",
        plugin("tap", 20, "")
            .trim_end_matches("---\n")
            .replace('\n', "\n  ")
    );
    assert_eq!(resources.len(), 3);
    assert_eq!(findings(&list), [(Level::Error, "pair", TAP.to_owned())]);
}

#[test]
fn folders_with_a_kustomization_are_to_be_rendered_first() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("istio");
    let error = super::read(&folder, 3, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("kubectl kustomize"), "{error}");
}
