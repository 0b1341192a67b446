//! The Services whose requests are placed.

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::plugin::{Named, Plugin};
use crate::cli::doctor::resource::Resource;

/// The label that makes Istio add its session filter for a Service.
const SESSION: &str = "istio.io/persistent-session-header";
/// Labels that put what carries them behind HBONE.
const AMBIENT: (&str, &str) = ("istio.io/dataplane-mode", "ambient");
const WAYPOINT: &str = "istio.io/use-waypoint";

pub(super) fn examine(resources: &[Resource], plugins: &[Plugin<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for plugin in plugins {
        for named in plugin.services() {
            let mut services = resources.iter().filter(|other| {
                other.kind == "Service"
                    && other.name == named.name
                    && other.namespace == named.namespace
            });
            if let Some(service) = services.next() {
                found.extend(port(service, &named));
                found.extend(label(plugin, service, resources));
                found.extend(tunnel(plugin, service, resources));
                found.extend(headless(service));
            }
        }
    }
    found
}

fn port(service: &Resource, named: &Named) -> Option<Finding> {
    let port = named.port?;
    let mut ports = service.list("/ports").iter();
    let Some(own) = ports.find(|own| own["port"] == port) else {
        let problem = format!("has no port {port}, which a pool names");
        let remedy = "name the Service's port, not that of its pods";
        return Some(Finding::error("port", service, problem, remedy));
    };
    let name = own["name"].as_str().unwrap_or_default();
    let protocol = own["appProtocol"].as_str().unwrap_or(name);
    let told = protocol.split('-').next().unwrap_or_default();
    let is_other = ["tcp", "tls", "https", "mongo", "mysql", "redis", "udp"].contains(&told);
    is_other.then(|| {
        let problem =
            format!("port {port} is {protocol:?}: sidecars see no HTTP, nothing is placed");
        let remedy = "call the port http, or set appProtocol: http";
        Finding::error("protocol", service, problem, remedy)
            .see("docs/istio.md#beside-other-policies-of-the-mesh")
    })
}

/// With Istio's own session filter the Service must carry the label.
fn label(plugin: &Plugin<'_>, service: &Resource, resources: &[Resource]) -> Option<Finding> {
    if plugin.form() != "stateful_session" {
        return None;
    }
    let header = plugin.header();
    // An EnvoyFilter may add the session filter itself.
    let adds = |other: &Resource| {
        let patches = other.list("/configPatches").iter();
        let mut states = patches.map(|patch| {
            let state = "/patch/value/typed_config/session_state/typed_config/name";
            patch.pointer(state).and_then(|name| name.as_str())
        });
        other.kind == "EnvoyFilter" && states.any(|name| name == Some(header))
    };
    let labelled = service.label(SESSION);
    if labelled == Some(header) || resources.iter().any(adds) {
        return None;
    }
    let problem = match labelled {
        None => format!("lacks the label {SESSION}: nothing reads the endpoint"),
        Some(other) => format!("has {other} in its label {SESSION}, the plugins have {header}"),
    };
    let remedy = format!(
        "kubectl label --overwrite service {} -n {} {SESSION}={header}",
        service.name, service.namespace
    );
    let see = "docs/istio.md#3-add-the-plugins-they-observe";
    Some(Finding::error("label", service, problem, remedy).see(see))
}

/// Lua cannot name an endpoint behind HBONE.
fn tunnel(plugin: &Plugin<'_>, service: &Resource, resources: &[Resource]) -> Option<Finding> {
    if plugin.form() != "lua" {
        return None;
    }
    let is_ambient = |of: &Resource| of.label(AMBIENT.0) == Some(AMBIENT.1);
    let mut namespaces = resources
        .iter()
        .filter(|other| other.kind == "Namespace" && other.name == service.namespace);
    let behind = is_ambient(service)
        || service.label(WAYPOINT).is_some()
        || namespaces.any(|own| is_ambient(own) || own.label(WAYPOINT).is_some());
    behind.then(|| {
        let problem = "its endpoints are behind HBONE, which Lua cannot name: nothing is placed";
        let remedy = "take istio/ways/session, or istio/ways/waypoint";
        Finding::error("hbone", service, problem, remedy).see("istio/README.md#which-way")
    })
}

fn headless(service: &Resource) -> Option<Finding> {
    (service.spec("/clusterIP") == "None").then(|| {
        let problem = "is headless: sidecars leave the choice to DNS, and place nothing";
        let remedy = "name a Service with a clusterIP, unless only gateways send there";
        Finding::warning("headless", service, problem, remedy)
            .see("docs/istio.md#beside-other-policies-of-the-mesh")
    })
}
