//! Tests endpoints behind an internal listener.

use serde_json::{Value, json};
use trimtab_filter::Form as Named;

use super::{life, second_served};
use crate::support::{Backend, RELEASES, overlay};

/// Returns endpoints behind an internal listener of the same Envoy, as behind Istio's tunnels but
/// without encryption. The listener connects to the address in the endpoint's metadata.
///
/// - `destination`: settings of the plugin's destination.
/// - `servers`: the endpoints.
/// - `plain`: number of endpoints that are not behind the listener.
/// - `policy`: load balancing policy of the cluster.
fn behind_a_listener(
    destination: &Value,
    servers: &[Backend],
    plain: usize,
    policy: &Value,
) -> Value {
    let endpoint = |(index, server): (usize, &Backend)| {
        let (ip, port) = (server.address.ip(), server.address.port());
        if index < plain {
            return json!({"endpoint": {"address": {"socket_address": {"address": ip, "port_value": port}}}});
        }
        let address =
            json!({"server_listener_name": "connect_originate", "endpoint_id": server.name()});
        json!({
            "endpoint": {"address": {"envoy_internal_address": address}},
            "metadata": {"filter_metadata": {"envoy.filters.listener.original_dst": {"local": server.name()}}},
        })
    };
    let endpoints: Vec<_> = servers.iter().enumerate().map(endpoint).collect();
    let kind = |name: &str| format!("type.googleapis.com/envoy.extensions.{name}");
    let original_dst = json!({"name": "envoy.filters.listener.original_dst", "typed_config": {"@type": kind("filters.listener.original_dst.v3.OriginalDst")}});
    let raw = json!({"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": kind("transport_sockets.raw_buffer.v3.RawBuffer")}});
    let tcp_proxy = json!({"@type": kind("filters.network.tcp_proxy.v3.TcpProxy"), "stat_prefix": "tunnel", "cluster": "tunnel"});
    let passed = json!([{"kind": {"host": {}}, "name": "envoy.filters.listener.original_dst"}]);
    let socket = json!({"@type": kind("transport_sockets.internal_upstream.v3.InternalUpstreamTransport"), "passthrough_metadata": passed, "transport_socket": raw});
    let mut cluster = json!({
        "type": "STATIC",
        "eds_cluster_config": null,
        "load_assignment": {"cluster_name": "model_servers", "endpoints": [{"lb_endpoints": endpoints}]},
        "transport_socket_matches": [{"name": "tunnel", "match": {}, "transport_socket": {"name": "envoy.transport_sockets.internal_upstream", "typed_config": socket}}],
    });
    if plain > 0 {
        cluster["transport_socket_matches"][0]["match"] = json!({"tunnel": true});
        for endpoint in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .skip(plain)
        {
            endpoint["metadata"]["filter_metadata"]["envoy.transport_socket_match"] =
                json!({"tunnel": true});
        }
    }
    cluster
        .as_object_mut()
        .unwrap()
        .extend(policy.as_object().unwrap().clone());
    json!({
        "destination": destination,
        "model_servers": cluster,
        "clusters": [{"name": "tunnel", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s"}],
        "listeners": [{
            "name": "connect_originate",
            "internal_listener": {},
            "listener_filters": [original_dst],
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp_proxy}]}],
        }],
        "bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": kind("bootstrap.internal_listener.v3.InternalListener")}}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn override_host_finds_endpoints_behind_an_internal_listener_beside_others() {
    for release in RELEASES {
        let destination = json!({"hbone": "connect_originate"});
        let overlay = |servers: &[Backend]| behind_a_listener(&destination, servers, 1, &json!({}));
        let (trial, answers) = life(release, Named::OverrideHost, &overlay).await;
        second_served(&trial, answers).await;
        trial.aggregator_goes().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stateful_session_finds_endpoints_behind_an_internal_listener() {
    for release in RELEASES {
        let overlay = |servers: &[Backend]| {
            let mut deployed = overlay::read("stateful_session");
            let destination = json!({"form": "stateful_session", "hbone": "connect_originate"});
            let policy = deployed["model_servers"].take();
            let all = behind_a_listener(&destination, servers, 0, &policy);
            deployed
                .as_object_mut()
                .unwrap()
                .extend(all.as_object().unwrap().clone());
            deployed
        };
        let (trial, _answers) = life(release, Named::StatefulSession, &overlay).await;
        assert!(
            trial
                .stage
                .envoy
                .stat("tcp.tunnel.downstream_cx_total")
                .await
                .unwrap()
                > 0
        );
    }
}
