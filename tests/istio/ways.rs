//! Each way places requests, at a sidecar and at a gateway, and nothing that is missing costs one.

use crate::manifests::{Way, placing};
use crate::mesh::Mesh;
use crate::proxy::{KINDS, Proxy, in_order};
use crate::support::clients::{Clients, none_failed};
use crate::support::eventually;

/// The filters that a way adds, in order, and what stands behind them.
fn chain(way: Way) -> &'static [&'static str] {
    match way {
        Way::Session => &["trimtab-tap", "trimtab-pick", "stateful_session", "router"],
        Way::TrafficExtension => &["trimtab-tap", "trimtab-pick", "trimtab-apply", "router"],
        Way::EnvoyFilter => &["trimtab.guard", "trimtab", "trimtab.session", "router"],
        Way::Waypoint => unreachable!("not at these proxies"),
    }
}

/// The resources of a way, in an order in which they may go missing. Each makes filters, whose
/// names hold its own.
fn resources(way: Way) -> &'static [&'static str] {
    match way {
        Way::Session => &["wasmplugin/trimtab-pick", "wasmplugin/trimtab-tap"],
        Way::TrafficExtension => &[
            "trafficextension/trimtab-apply",
            "trafficextension/trimtab-pick",
            "trafficextension/trimtab-tap",
        ],
        Way::EnvoyFilter => &["envoyfilter/trimtab"],
        Way::Waypoint => unreachable!("not at these proxies"),
    }
}

/// Number of requests under each thing that is missing.
const SOME: u64 = 100;

async fn more(clients: &Clients) {
    let goal = clients.sent() + SOME;
    eventually("requests go on", async || {
        (clients.sent() >= goal).then_some(())
    })
    .await;
}

/// Requests land where the table says, at both kinds of proxies, and each pool has its own.
async fn places(way: Way) {
    let mut mesh = Mesh::start(way).await;
    let objects = placing(way, &[]);
    mesh.apply(&objects).await;
    if way == Way::Session {
        for service in ["vllm", "coder"] {
            let label = "istio.io/persistent-session-header=x-trimtab-session";
            mesh.kubectl.run(&["label", "service", service, label]);
        }
    }
    for kind in KINDS {
        let proxy = Proxy::start(kind).await;
        proxy.places_all_on("vllm", &mesh.vllm[0].name()).await;
        let (found, parts) = (proxy.chain().await, chain(way));
        assert!(in_order(&found, parts), "{parts:?} in {found:#?}");
        for best in [1, 2, 0] {
            mesh.prefer(best);
            proxy.places_all_on("vllm", &mesh.vllm[best].name()).await;
        }
        let before = mesh.vllm[0].count();
        proxy.places_all_on("coder", &mesh.coder[0].name()).await;
        assert_eq!(mesh.vllm[0].count(), before, "{kind:?}");
        assert_eq!(mesh.coder[1].count(), 0, "{kind:?}");
        nothing_fails(&mut mesh, &proxy, way, &objects).await;
    }
}

/// No request fails while the aggregator is gone, or any of the resources.
async fn nothing_fails(mesh: &mut Mesh, proxy: &Proxy, way: Way, objects: &str) {
    let clients = proxy.flood();
    more(&clients).await;
    // Its port and its connections close, as when it crashes.
    mesh.aggregator = None;
    more(&clients).await;
    mesh.start_aggregator(0).await;
    for resource in resources(way) {
        mesh.kubectl
            .run(&["delete", "-n", "istio-system", resource]);
        let (_, name) = resource.split_once('/').unwrap();
        eventually("the proxy lacks it", async || {
            let chain = proxy.chain().await;
            let has = chain.iter().any(|filter| filter.contains(name));
            (!has).then_some(())
        })
        .await;
        more(&clients).await;
    }
    mesh.apply(objects).await;
    proxy.places_all_on("vllm", &mesh.vllm[0].name()).await;
    none_failed(&clients.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wasm_plugins_and_a_label_place_requests_and_no_request_fails_without_them() {
    places(Way::Session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_traffic_extensions_place_requests_and_no_request_fails_without_them() {
    places(Way::TrafficExtension).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_envoy_filter_places_requests_and_no_request_fails_without_it() {
    places(Way::EnvoyFilter).await;
}
