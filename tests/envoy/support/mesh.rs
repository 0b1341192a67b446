//! Clusters and routes of a proxy that leads to several Services, as Istio names them.

use serde_json::{Value, json};

use super::Backend;
use super::client::DESTINATION;

/// Returns a cluster that takes the destination from the header.
pub(crate) fn cluster(name: &str, servers: &[&Backend]) -> Value {
    const KIND: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies";
    let policy = |name: &str, config: Value| {
        let name = format!("envoy.load_balancing_policies.{name}");
        json!({"policies": [{"typed_extension_config": {"name": name, "typed_config": config}}]})
    };
    let fallback = json!({"@type": format!("{KIND}.least_request.v3.LeastRequest")});
    let override_host = json!({
        "@type": format!("{KIND}.override_host.v3.OverrideHost"),
        "override_host_sources": [{"header": DESTINATION}],
        "fallback_policy": policy("least_request", fallback),
    });
    let endpoint = |server: &&Backend| {
        let address = json!({"address": server.address.ip(), "port_value": server.address.port()});
        json!({"endpoint": {"address": {"socket_address": address}}})
    };
    let endpoints: Vec<_> = servers.iter().map(endpoint).collect();
    json!({
        "name": name, "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "load_balancing_policy": policy("override_host", override_host),
    })
}

/// Returns a route to a cluster.
///
/// - `to`: value of the header `x-to` that leads there; absent: all other requests.
pub(crate) fn route(to: Option<&str>, cluster: &str) -> Value {
    let header = to.map(|to| json!({"name": "x-to", "string_match": {"exact": to}}));
    let headers: Vec<_> = header.into_iter().collect();
    json!({"match": {"prefix": "/", "headers": headers}, "route": {"cluster": cluster}})
}
