//! Builds the configuration of the one Envoy with three lanes.
//!
//! It has the same shape as `deploy/envoy`. It is built here because the addresses are known only
//! at run time. Each lane has a listener and a cluster of its own servers. Only the trimtab lane
//! has the filter and the `override_host` policy.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::load::{DECISION_HEADER, UPSTREAM_HEADER};

use super::policy::Policy;

/// Name of the pool that the aggregator publishes for the trimtab lane.
pub(crate) const POOL: &str = "demo";
const DESTINATION_HEADER: &str = "x-gateway-destination-endpoint";
/// Name of the cluster of the aggregator.
pub(crate) const AGGREGATOR: &str = "trimtab_aggregator";

/// Returns the bootstrap configuration. Listeners have the names of their lanes and free ports.
pub(crate) fn bootstrap(
    lanes: &[(Policy, Vec<SocketAddr>)],
    aggregator: SocketAddr,
    filter: &Path,
) -> Value {
    let mut clusters: Vec<Value> = lanes
        .iter()
        .map(|(policy, servers)| cluster(*policy, servers))
        .collect();
    clusters.push(json!({
        "name": AGGREGATOR,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment(AGGREGATOR, &[aggregator]),
    }));
    let listeners: Vec<Value> = lanes
        .iter()
        .map(|(policy, _)| listener(*policy, filter))
        .collect();
    json!({
        "admin": {"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn assignment(name: &str, addresses: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"endpoint": {"address": socket(*address)}}))
        .collect();
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]})
}

fn cluster(policy: Policy, servers: &[SocketAddr]) -> Value {
    let name = policy.name();
    let extension = |name: &str, kind: &str| {
        json!({"typed_extension_config": {
            "name": format!("envoy.load_balancing_policies.{name}"),
            "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.load_balancing_policies.{name}.v3.{kind}")},
        }})
    };
    let balancing = match policy {
        Policy::RoundRobin => json!({"policies": [extension("round_robin", "RoundRobin")]}),
        Policy::LeastRequest => json!({"policies": [extension("least_request", "LeastRequest")]}),
        Policy::Trimtab => {
            let mut chosen = extension("override_host", "OverrideHost");
            if let Some(config) = chosen.pointer_mut("/typed_extension_config/typed_config") {
                config["override_host_sources"] = json!([{"header": DESTINATION_HEADER}]);
                config["fallback_policy"] =
                    json!({"policies": [extension("least_request", "LeastRequest")]});
            }
            json!({"policies": [chosen]})
        }
    };
    // About a thousand requests wait if a lane cannot keep up. Envoy's default limit of 1,024 would
    // refuse some.
    let limits = json!({"max_connections": 65_536, "max_pending_requests": 65_536, "max_requests": 65_536, "max_retries": 1_024});
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_balancing_policy": balancing,
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": assignment(name, servers),
    })
}

fn listener(policy: Policy, filter: &Path) -> Value {
    let name = policy.name();
    let mut filters = Vec::new();
    if policy == Policy::Trimtab {
        filters.push(wasm(filter));
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    let route = json!({
        "match": {"prefix": "/"},
        "route": {
            "cluster": name,
            // Without a timeout, because an answer may take long. The client has its own timeout.
            "timeout": "0s",
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset-before-request",
                "num_retries": 2,
                "retry_host_predicate": [{
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }],
                "host_selection_retry_max_attempts": 5,
            },
        },
        "response_headers_to_add": [{"header": {"key": UPSTREAM_HEADER, "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "request_body_buffer_limit": 8_388_608,
            "routes": [route],
        }]},
        "http_filters": filters,
    });
    json!({
        "name": name,
        "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
        "per_connection_buffer_limit_bytes": 32_768,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    })
}

fn wasm(filter: &Path) -> Value {
    let string = "type.googleapis.com/google.protobuf.StringValue";
    json!({
        "name": "trimtab",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "trimtab",
                "root_id": "trimtab",
                "failure_policy": "FAIL_OPEN",
                "allow_on_headers_stop_iteration": true,
                "vm_config": {
                    "vm_id": "trimtab",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": filter}},
                },
                "configuration": {"@type": string, "value": plugin().to_string()},
            },
        },
    })
}

/// Returns the plugin's configuration: the two required settings, and answers that say why they
/// come from their server.
pub(crate) fn plugin() -> Value {
    json!({
        "pool": POOL,
        "aggregator": {"cluster": AGGREGATOR},
        "explain_header": DECISION_HEADER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_trimtab_lane_has_the_filter_and_its_policy() {
        let server = SocketAddr::from(([127, 0, 0, 1], 9_000));
        let lanes = [
            (Policy::Trimtab, vec![server]),
            (Policy::LeastRequest, vec![server]),
            (Policy::RoundRobin, vec![server]),
        ];
        let config = bootstrap(&lanes, server, Path::new("/filter.wasm"));
        for (position, (policy, _)) in lanes.iter().enumerate() {
            let listener = config
                .pointer(&format!("/static_resources/listeners/{position}"))
                .unwrap()
                .to_string();
            let cluster = config
                .pointer(&format!("/static_resources/clusters/{position}"))
                .unwrap()
                .to_string();
            assert_eq!(
                listener.contains("/filter.wasm"),
                *policy == Policy::Trimtab,
                "{policy:?}"
            );
            assert_eq!(
                cluster.contains("override_host"),
                *policy == Policy::Trimtab,
                "{policy:?}"
            );
            assert!(cluster.contains("\"port_value\":9000"), "{policy:?}");
        }
    }
}
