//! istiod, without a cluster around it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyper::Method;
use serde_json::Value;
use trimtab::process::Child;

use crate::cluster::eventually;
use crate::support::client::bare;

/// The release that proxies say they are of.
pub(crate) const VERSION: &str = "1.31.0";
/// Where proxies get their configuration, without TLS.
pub(crate) const XDS: SocketAddr = address(15_010);
const HTTP: SocketAddr = address(15_080);

/// Filters that only Istio's own Envoy has, and mTLS, which needs an agent, are switched off.
const MESH: &str = "enableAutoMtls: false\n";
const VARIABLES: [(&str, &str); 5] = [
    ("POD_NAME", "istiod-0"),
    ("POD_NAMESPACE", "istio-system"),
    ("ENABLE_CA_SERVER", "false"),
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
];

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// A running istiod. It ends when dropped.
pub(crate) struct Istiod {
    _child: Child,
}

impl Istiod {
    /// Starts istiod, and waits until it serves proxies.
    ///
    /// - `kubeconfig`: how it reaches the API server.
    /// - `dir`: folder for its files.
    /// - `more`: variables beside those that every istiod of the tests has.
    pub(crate) async fn start(kubeconfig: &Path, dir: &Path, more: &[(&str, &str)]) -> Self {
        let mesh = dir.join("mesh.yaml");
        std::fs::write(&mesh, MESH).unwrap();
        let mut command = Command::new(variable("TRIMTAB_ISTIOD"));
        command
            .arg("discovery")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--meshConfig")
            .arg(&mesh)
            .arg(format!("--grpcAddr={XDS}"))
            .arg(format!("--httpAddr={HTTP}"))
            .args([
                "--secureGRPCAddr=",
                "--httpsAddr=",
                "--monitoringAddr=127.0.0.1:15081",
            ])
            .envs(VARIABLES)
            .envs(more.iter().copied());
        let mut child = Child::spawn("istiod", &command, &dir.join("istiod.log")).unwrap();
        eventually("istiod is ready", async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "istiod ended: {}", child.log_tail(20));
            let ready = bare(HTTP, Method::GET, "/ready", &[]).await.ok()?;
            (ready.status == 200).then_some(())
        })
        .await;
        Self { _child: child }
    }
}

/// Returns what istiod has for a proxy that is connected, or `None` if there is none such.
pub(crate) async fn configuration(proxy: &str) -> Option<Value> {
    let path = format!("/debug/config_dump?proxyID={proxy}");
    let answer = bare(HTTP, Method::GET, &path, &[]).await.ok()?;
    (answer.status == 200).then(|| serde_json::from_slice(&answer.body).unwrap())
}

/// Returns the path in a variable that `cargo xtask test` sets.
pub(crate) fn variable(name: &str) -> PathBuf {
    let path = std::env::var_os(name);
    path.unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test --only istio`"))
        .into()
}
