//! Clusters that Envoy would refuse, or that lack endpoints of the pool.

use serde_json::Value;

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::plugin::{Named, Plugin};
use crate::cli::doctor::resource::Resource;

const SEE: &str = "docs/istio.md#beside-other-policies-of-the-mesh";

pub(super) fn examine(resources: &[Resource], plugins: &[Plugin<'_>]) -> Vec<Finding> {
    let named: Vec<Named> = plugins.iter().flat_map(Plugin::services).collect();
    let of_kind = |kind: &'static str| resources.iter().filter(move |other| other.kind == kind);
    let mut found = Vec::new();
    for service in of_kind("Service") {
        let is_ours = named
            .iter()
            .any(|named| named.name == service.name && named.namespace == service.namespace);
        let rules = of_kind("DestinationRule")
            .filter(|rule| rule.means(rule.spec("/host").as_str().unwrap_or_default(), service));
        if is_ours {
            found.extend(rules.clone().flat_map(fewer));
        }
        for patch in of_kind("EnvoyFilter").filter(|other| patches(other, service)) {
            if service.spec("/clusterIP") == "None" {
                found.push(refused(patch, &format!("{service} is headless")));
            }
            let weighted = rules.clone().filter(|rule| distributes(rule));
            found.extend(weighted.map(|rule| refused(patch, &format!("{rule} has distribute"))));
        }
    }
    found
}

fn refused(patch: &Resource, why: &str) -> Finding {
    let problem =
        format!("Envoy refuses the cluster, because {why}: a proxy that starts then answers 503");
    let remedy = "take istio/ways/envoyfilter, which patches no cluster";
    Finding::error("cluster-refused", patch, problem, remedy).see("istio/README.md#which-way")
}

/// Whether an EnvoyFilter sets the balancing of a Service's cluster.
fn patches(filter: &Resource, service: &Resource) -> bool {
    let mut patches = filter.list("/configPatches").iter();
    patches.any(|patch| {
        let sets = patch
            .pointer("/patch/value/load_balancing_policy")
            .is_some();
        let only = patch
            .pointer("/match/cluster/service")
            .and_then(Value::as_str);
        let matches = only.is_none_or(|host| filter.means(host, service));
        patch["applyTo"] == "CLUSTER" && sets && matches
    })
}

fn distributes(rule: &Resource) -> bool {
    let setting = rule.spec("/trafficPolicy/loadBalancer/localityLbSetting/distribute");
    setting.as_array().is_some_and(|list| !list.is_empty())
}

/// What takes endpoints out of a cluster.
fn fewer(rule: &Resource) -> Vec<Finding> {
    let mut found = Vec::new();
    let remedy = "make each part a pool of its own, or take it away";
    if distributes(rule) {
        let problem =
            "distribute takes endpoints out of clusters: requests placed there go elsewhere";
        found.push(Finding::warning("distribute", rule, problem, remedy).see(SEE));
    }
    if !rule.list("/subsets").is_empty() {
        let problem = "a route to a subset has a part of the endpoints: requests placed on others go elsewhere";
        found.push(Finding::warning("subsets", rule, problem, remedy).see(SEE));
    }
    found
}
