//! What a patched cluster would break: the way with an EnvoyFilter leaves clusters alone.

use crate::manifests::{Way, placing};
use crate::mesh::Mesh;
use crate::proxy::{KINDS, Proxy};
use crate::support::eventually;

/// Locality weights, and a headless Service of the same pods.
const OBJECTS: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: vllm, namespace: default }
spec:
  host: vllm.default.svc.cluster.local
  trafficPolicy:
    loadBalancer:
      localityLbSetting:
        enabled: true
        distribute: [{ from: '*', to: { '*': 100 } }]
    outlierDetection: { consecutive5xxErrors: 5 }
---
apiVersion: v1
kind: Service
metadata: { name: headless, namespace: default }
spec: { clusterIP: None, selector: { app: vllm }, ports: [{ name: http, port: 8000 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: headless-1, namespace: default, labels: { kubernetes.io/service-name: headless } }
addressType: IPv4
ports: [{ name: http, port: 8000, protocol: TCP }]
endpoints: [{ addresses: [10.1.0.1], conditions: { ready: true } }]
";

/// Whether a proxy has the plugin of the EnvoyFilter.
async fn has_plugin(proxy: &Proxy) -> bool {
    proxy.chain().await.iter().any(|name| name == "trimtab")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_starts_beside_locality_weights_and_headless_services_has_every_cluster() {
    let mesh = Mesh::start(Way::EnvoyFilter).await;
    mesh.apply(OBJECTS).await;
    let objects = placing(Way::EnvoyFilter, &[]);
    mesh.apply(&objects).await;
    for kind in KINDS {
        // istiod may need a moment to know the filter. What counts is a proxy that starts with it.
        let early = Proxy::start(kind).await;
        eventually("istiod hands out the plugin", async || {
            has_plugin(&early).await.then_some(())
        })
        .await;
        drop(early);
        let proxy = Proxy::start(kind).await;
        assert!(has_plugin(&proxy).await, "{kind:?} has no plugin");
        for n in 0..20 {
            let answer = proxy.ask("vllm", &format!("question {n}")).await.unwrap();
            answer.ok();
        }
        let clusters = proxy.envoy.page("/clusters").await.unwrap();
        for service in ["vllm", "headless"] {
            let name = format!("outbound|8000||{service}.default.svc.cluster.local::");
            assert!(clusters.contains(&name), "{kind:?} has no {service}");
        }
        // A policy of the cluster's own would not go with this.
        let dump = proxy
            .envoy
            .page("/config_dump?resource=dynamic_active_clusters");
        let dump = dump.await.unwrap();
        assert!(dump.contains("locality_weighted_lb_config"), "{kind:?}");
        let log = proxy.envoy.log_text();
        assert!(
            !log.contains("rejected") && !log.contains("not valid"),
            "{log}"
        );
    }
}
