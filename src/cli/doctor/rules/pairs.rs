//! Two plugins that work together, and what hands their choice to the proxy.

use serde_json::{Map, Value};

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::plugin::{Plugin, target};
use crate::cli::doctor::resource::Resource;

pub(super) fn examine(resources: &[Resource], plugins: &[Plugin<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for plugin in plugins {
        match plugin.role() {
            "tap" | "pick" => found.extend(partner(plugin, plugins)),
            _ if plugin.resource.kind != "EnvoyFilter" => {
                let problem = "a plugin alone needs an option that this resource does not have";
                let remedy = "use two, with role tap and role pick, or istio/ways/envoyfilter";
                found.push(Finding::error("alone", plugin.resource, problem, remedy));
            }
            _ => {}
        }
        if plugin.role() != "tap" && plugin.form() == "lua" {
            found.extend(lua(plugin, resources));
        }
    }
    found.extend(twice(plugins));
    found
}

/// Whether two plugins are for the same proxies.
fn together(a: &Plugin<'_>, b: &Plugin<'_>) -> bool {
    a.resource.namespace == b.resource.namespace && a.target == b.target
}

fn partner(plugin: &Plugin<'_>, all: &[Plugin<'_>]) -> Vec<Finding> {
    let of = plugin.resource;
    let wanted = if plugin.role() == "tap" {
        "pick"
    } else {
        "tap"
    };
    let same = |other: &&Plugin<'_>| other.role() == wanted && together(plugin, other);
    let shares = |other: &&Plugin<'_>| {
        let names = other.pool_names();
        plugin.pool_names().iter().any(|name| names.contains(name))
    };
    let partners = all.iter().filter(same);
    let Some(other) = partners
        .clone()
        .find(shares)
        .or_else(|| partners.clone().next())
    else {
        let problem = format!("there is no plugin with role {wanted} for the same proxies");
        let remedy = format!(
            "add one in namespace {} with the same selector or targetRefs",
            of.namespace
        );
        return vec![Finding::error("pair", of, problem, remedy)];
    };
    // Each pair is told once.
    if plugin.role() == "pick" {
        return Vec::new();
    }
    let mut found = differing(&plugin.settings, &other.settings)
        .into_iter()
        .map(|field| {
            let problem = format!("{field} differs from that of {}", other.resource);
            let remedy = "give both the same settings, but for role";
            Finding::error("settings-differ", of, problem, remedy)
        })
        .collect::<Vec<_>>();
    if plugin.phase != other.phase {
        let problem = format!("its phase differs from that of {}", other.resource);
        found.push(Finding::error(
            "order",
            of,
            problem,
            "leave phase out of both",
        ));
    } else if plugin.priority <= other.priority {
        let problem = format!(
            "stands behind {}: its priority is {}, that one's {}",
            other.resource, plugin.priority, other.priority
        );
        let remedy = "give tap the higher priority";
        found.push(Finding::error("order", of, problem, remedy));
    }
    found
}

/// Names of settings that are not the same in both.
fn differing(a: &Map<String, Value>, b: &Map<String, Value>) -> Vec<String> {
    let names = a
        .keys()
        .chain(b.keys().filter(|name| !a.contains_key(*name)));
    names
        .filter(|name| *name != "role" && a.get(*name) != b.get(*name))
        .cloned()
        .collect()
}

/// The Lua filter that must stand behind pick.
fn lua(plugin: &Plugin<'_>, resources: &[Resource]) -> Option<Finding> {
    let of = plugin.resource;
    let header = plugin.header();
    let readers = resources.iter().filter(|other| {
        let code = other.spec("/lua/inlineCode").as_str().unwrap_or_default();
        other.kind == "TrafficExtension"
            && other.namespace == of.namespace
            && target(other) == plugin.target
            && code.contains(header)
            && code.contains("setUpstreamOverrideHost")
    });
    let mut priorities = readers.map(|reader| reader.spec("/priority").as_i64().unwrap_or(0));
    match priorities.next() {
        None => {
            let problem = format!("no Lua for the same proxies reads {header}");
            let remedy = "add istio/ways/traffic-extension/apply.yaml";
            Some(Finding::error("lua", of, problem, remedy))
        }
        Some(priority) if priority >= plugin.priority => {
            let problem = format!("the Lua that reads {header} stands before it");
            let remedy = "give the Lua the lowest priority";
            Some(Finding::error("order", of, problem, remedy))
        }
        Some(_) => None,
    }
}

/// Two plugins of one role that want the same requests of the same proxies.
fn twice(plugins: &[Plugin<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, plugin) in plugins.iter().enumerate() {
        let others = plugins.iter().skip(at + 1);
        let mut same = others.filter(|other| {
            let same_role = plugin.role() == other.role();
            let services = other.services();
            let shared = plugin.services().iter().any(|own| services.contains(own));
            same_role && shared && together(plugin, other)
        });
        if let Some(other) = same.next() {
            let problem = format!("{} wants the same requests", other.resource);
            let remedy = "take one way, or give them other services; the first has the request";
            found.push(Finding::error("twice", plugin.resource, problem, remedy));
        }
    }
    found
}
