//! Whether proxies reach the aggregator, and run the module at all.

use serde_json::Value;

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::plugin::Plugin;
use crate::cli::doctor::resource::Resource;

/// Istio's root namespace: what stands there is for all namespaces.
const ROOT: &str = "istio-system";

pub(super) fn examine(resources: &[Resource], plugins: &[Plugin<'_>]) -> Vec<Finding> {
    let mut found: Vec<Finding> = resources.iter().filter_map(path).collect();
    for plugin in plugins {
        found.extend(cluster(plugin, resources));
        found.extend(sidecars(plugin, resources));
        found.extend(gateways(plugin, resources));
    }
    found
}

/// A path of an AuthorizationPolicy that looks as if it allowed calls.
fn path(policy: &Resource) -> Option<Finding> {
    if policy.kind != "AuthorizationPolicy" {
        return None;
    }
    let rules = policy.list("/rules").iter();
    let operations = rules.filter_map(|rule| rule["to"].as_array()).flatten();
    let paths = operations.filter_map(|to| to.pointer("/operation/paths")?.as_array());
    let mut texts = paths.flatten().filter_map(Value::as_str);
    let wrong = texts.find(|text| text.contains("/pools/*/"))?;
    let problem = format!("{wrong} never matches: a * may only end or begin a path");
    let remedy = "write {*} for one segment: /v1/pools/{*}/sync";
    Some(
        Finding::error("path", policy, problem, remedy).see("istio/mesh/authorization-policy.yaml"),
    )
}

/// The aggregator's cluster must lead to a Service and port that there is.
fn cluster(plugin: &Plugin<'_>, resources: &[Resource]) -> Option<Finding> {
    let (host, port) = plugin.aggregator()?;
    let all = || resources.iter().filter(|other| other.kind == "Service");
    let named = all().find(|service| service.host() == host);
    let Some(service) = named else {
        // Where the input has the Services of its namespace, it is missing.
        let namespace = host.split('.').nth(1)?;
        let is_known = all()
            .any(|other| other.namespace == namespace && other.name.contains("trimtab-aggregator"));
        return is_known.then(|| {
            let problem = format!("there is no Service {host}");
            let remedy = "name the aggregator's Service in aggregator.cluster";
            Finding::error("aggregator", plugin.resource, problem, remedy)
        });
    };
    let has = service
        .list("/ports")
        .iter()
        .any(|own| own["port"].as_u64() == port.parse().ok());
    (!has).then(|| {
        let problem = format!("{service} has no port {port}");
        let remedy = "name the Service's port in aggregator.cluster";
        Finding::error("aggregator", plugin.resource, problem, remedy)
    })
}

/// A Sidecar resource hides Services that it does not list. It is an error where it is for proxies
/// of the plugin. Where the plugin picks pods in all namespaces by their labels, there may be none
/// of them beside that Sidecar: a warning.
fn sidecars(plugin: &Plugin<'_>, resources: &[Resource]) -> Vec<Finding> {
    let Some((host, _)) = plugin.aggregator() else {
        return Vec::new();
    };
    let namespace = host.split('.').nth(1).unwrap_or_default();
    let own = plugin.resource.namespace.as_str();
    // Both a plugin and a Sidecar of the root namespace are for all namespaces.
    let meets = |of: &Resource| of.namespace == own || own == ROOT || of.namespace == ROOT;
    let labels = plugin.target["labels"].as_object();
    let picks = labels.is_some_and(|labels| !labels.is_empty());
    let restricting = resources.iter().filter(|other| {
        other.kind == "Sidecar" && meets(other) && !other.list("/egress").is_empty()
    });
    let hiding = restricting.filter(|sidecar| {
        let egress = sidecar.list("/egress").iter();
        let hosts = egress.filter_map(|egress| egress["hosts"].as_array());
        let mut hosts = hosts.flatten().filter_map(Value::as_str);
        !hosts.any(|listed| shows(listed, &sidecar.namespace, namespace, host))
    });
    hiding
        .map(|sidecar| {
            let problem = format!("hides {host} from its proxies: they get no tables");
            let remedy = format!("add {namespace}/{host} to the hosts of its egress");
            if sidecar.namespace != own && own == ROOT && picks {
                Finding::warning("sidecar", sidecar, problem, remedy)
            } else {
                Finding::error("sidecar", sidecar, problem, remedy)
            }
        })
        .collect()
}

/// Whether `namespace/host` of a Sidecar lists a host.
fn shows(listed: &str, own: &str, namespace: &str, host: &str) -> bool {
    let Some((space, name)) = listed.split_once('/') else {
        return false;
    };
    let is_space = space == "*" || space == namespace || space == "." && own == namespace;
    let suffix = name.strip_prefix('*');
    let ends = suffix.is_some_and(|end| end.starts_with('.') && host.ends_with(end));
    let is_name = name == "*" || name == host || ends;
    is_space && is_name
}

/// Gateways of some classes run no Wasm.
fn gateways(plugin: &Plugin<'_>, resources: &[Resource]) -> Vec<Finding> {
    let refs = plugin.resource.list("/targetRefs").iter();
    let names: Vec<&str> = refs.filter_map(|to| to["name"].as_str()).collect();
    let targeted = resources.iter().filter(|gateway| {
        let class = gateway
            .spec("/gatewayClassName")
            .as_str()
            .unwrap_or_default();
        class.contains("agentgateway")
            && gateway.namespace == plugin.resource.namespace
            && names.contains(&gateway.name.as_str())
    });
    targeted
        .map(|gateway| {
            let problem = "is an agentgateway, which runs no Wasm";
            let remedy = "use a gateway of class istio or istio-waypoint";
            Finding::error("no-wasm", gateway, problem, remedy).see("docs/istio.md#limits")
        })
        .collect()
}
