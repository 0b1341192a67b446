//! A stock Envoy that gets its configuration from istiod.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use trimtab::process::envoy::Options;
use trimtab::process::{Envoy, find_envoy};

use crate::istiod::{VERSION, XDS};
use crate::support::client::{self, Error, Response, ask_body};
use crate::support::clients::Clients;
use crate::support::eventually;

/// What a proxy is in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Beside a client, in namespace `clients`.
    Sidecar,
    /// A gateway of Istio's own API.
    Gateway,
    /// A gateway of the Gateway API, which takes no selectors.
    Inference,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Sidecar, Kind::Gateway];

/// Number of requests in a row that shows that each of two workers has a table.
const RUN: usize = 24;

impl Kind {
    fn node(self, labels: &Value) -> Value {
        let (id, namespace) = match self {
            Self::Sidecar => (
                "sidecar~10.1.0.20~client.clients~clients.svc.cluster.local",
                "clients",
            ),
            Self::Gateway => (
                "router~10.1.0.30~gateway.istio-ingress~istio-ingress.svc.cluster.local",
                "istio-ingress",
            ),
            Self::Inference => (
                "router~10.1.0.31~inference.istio-ingress~istio-ingress.svc.cluster.local",
                "istio-ingress",
            ),
        };
        let metadata = json!({
            "NAMESPACE": namespace, "LABELS": labels, "ISTIO_VERSION": VERSION,
            "CLUSTER_ID": "Kubernetes", "INTERCEPTION_MODE": "NONE",
        });
        json!({"id": id, "cluster": namespace, "metadata": metadata})
    }

    /// Where clients reach it.
    fn address(self) -> SocketAddr {
        let port = match self {
            Self::Sidecar => 8_000,
            Self::Gateway => 8_080,
            Self::Inference => 8_081,
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn listener(self) -> &'static str {
        match self {
            Self::Sidecar => "127.0.0.1_8000",
            Self::Gateway => "0.0.0.0_8080",
            Self::Inference => "0.0.0.0_8081",
        }
    }
}

/// A running proxy. It ends when dropped.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) envoy: Envoy,
    _dir: TempDir,
}

impl Proxy {
    /// Starts a proxy with the label of `istio/parameters.yaml`, and waits until it takes requests.
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, json!({})).await
    }

    /// Does the same, with further members of the bootstrap.
    pub(crate) async fn start_with(kind: Kind, more: Value) -> Self {
        let labels = match kind {
            Kind::Inference => json!({
                "gateway.networking.k8s.io/gateway-name": "inference", "istio": "inference",
            }),
            _ => json!({"trimtab.dev/proxy": "true", "istio": "ingressgateway"}),
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("envoy.json");
        let mut bootstrap = bootstrap(&kind.node(&labels));
        let more = more.as_object().unwrap().clone();
        bootstrap.as_object_mut().unwrap().extend(more);
        std::fs::write(&path, bootstrap.to_string()).unwrap();
        let options = Options::new(find_envoy().unwrap(), path, dir.path().to_owned());
        let envoy = Envoy::start(&options).await;
        let proxy = Self {
            kind,
            envoy: envoy.unwrap_or_else(|error| panic!("{kind:?}: {error:#}")),
            _dir: dir,
        };
        eventually("the proxy takes requests", async || {
            proxy.envoy.listener(kind.listener()).await.ok()
        })
        .await;
        proxy
    }

    /// Asks a Service for a completion.
    pub(crate) async fn ask(&self, service: &str, prompt: &str) -> Result<Response, Error> {
        ask(self.kind, service, prompt).await
    }

    /// Starts clients that ask the Service `vllm` until they are stopped.
    pub(crate) fn flood(&self) -> Clients {
        let kind = self.kind;
        Clients::start(4, move |number| async move {
            match ask(kind, "vllm", &format!("question {number}")).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("{}: {:?}", answer.status, answer.body)),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// Waits until a run of requests goes to this endpoint alone, because the plugin said so.
    pub(crate) async fn places_all_on(&self, service: &str, endpoint: &str) {
        let mut last = String::new();
        let what = format!(
            "{:?}: all requests to {service} go to {endpoint}",
            self.kind
        );
        eventually(&what, async || {
            let mut placed = 0;
            for n in 0..RUN {
                let answer = self.ask(service, &format!("question {n}")).await.unwrap();
                let answer = answer.ok();
                placed += usize::from(answer.endpoint() == endpoint);
                last = answer.header(client::DECISION).to_owned();
            }
            (placed == RUN).then_some(())
        })
        .await;
    }

    /// Names of the filters for HTTP in the listener that clients reach.
    pub(crate) async fn chain(&self) -> Vec<String> {
        let page = self
            .envoy
            .page("/config_dump?resource=dynamic_listeners")
            .await;
        let page: Value = serde_json::from_str(&page.unwrap()).unwrap();
        let listeners = page["configs"].as_array().unwrap().iter();
        let mut own = listeners.filter(|listener| listener["name"] == self.kind.listener());
        let listener = &own.next().unwrap()["active_state"]["listener"];
        let chains = listener["filter_chains"].as_array().cloned();
        let default = listener["default_filter_chain"].clone();
        let chains = chains.into_iter().flatten().chain([default]);
        let filters = chains.filter_map(|chain| chain["filters"].as_array().cloned());
        let mut named = filters.flatten().filter_map(|filter| {
            let filters = filter["typed_config"]["http_filters"].as_array()?.clone();
            let names = filters.iter().map(|filter| filter["name"].as_str());
            names.map(|name| Some(name?.to_owned())).collect()
        });
        named.next_back().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.envoy.log_text();
            let last: Vec<&str> = said.lines().rev().take(30).collect();
            eprintln!("the proxy's last words, newest first:\n{}", last.join("\n"));
        }
    }
}

async fn ask(kind: Kind, service: &str, prompt: &str) -> Result<Response, Error> {
    let body = Full::new(Bytes::from(ask_body(prompt)));
    let request = Request::post("/v1/chat/completions")
        .header("host", format!("{service}.default.svc.cluster.local"))
        .header("content-type", "application/json")
        .header("x-trimtab-explain", "1")
        .body(body.map_err(|never| match never {}).boxed_unsync())?;
    client::request(kind.address(), request).await
}

/// Whether these parts of names stand in a chain in this order, each once, and no more of ours.
pub(crate) fn in_order(chain: &[String], parts: &[&str]) -> bool {
    let own = |name: &&String| name.contains("trimtab") || name.contains("stateful_session");
    let found: Vec<&String> = chain
        .iter()
        .filter(|name| own(name) || name.ends_with(".router"))
        .collect();
    found.len() == parts.len()
        && found
            .iter()
            .zip(parts)
            .all(|(name, part)| name.contains(part))
}

/// Returns a bootstrap with which Envoy takes all else from istiod.
pub(crate) fn bootstrap(node: &Value) -> Value {
    let from_istiod = json!({
        "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3",
    });
    let address = json!({"address": XDS.ip(), "port_value": XDS.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": address}}});
    let http2 = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    json!({
        "node": node,
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "lds_config": from_istiod, "cds_config": from_istiod,
            "ads_config": {
                "api_type": "GRPC", "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": http2,
            "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }]},
    })
}
