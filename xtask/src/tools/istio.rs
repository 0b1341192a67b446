//! Obtains Istio without a cluster: istiod and istioctl, built from the Go module proxy, and the
//! definitions of its kinds.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools::module::{self, Definition};
use crate::tools::{from_debian, go};
use crate::{run, versions};

const KINDS: Definition = Definition {
    folder: "istio-kinds",
    module: "istio.io/istio",
    version: versions::ISTIO,
    paths: &["manifests/charts/base/files/crd-all.gen.yaml"],
    file: "istio.yaml",
};

const GATEWAY_API: Definition = Definition {
    folder: "gateway-api",
    module: "sigs.k8s.io/gateway-api",
    version: versions::GATEWAY_API,
    paths: &[
        "config/crd/standard/gateway.networking.k8s.io_gatewayclasses.yaml",
        "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        "config/crd/standard/gateway.networking.k8s.io_referencegrants.yaml",
    ],
    file: "gateway-api.yaml",
};

/// The files that the tests start and apply.
#[derive(Debug, Clone)]
pub(crate) struct Istio {
    pub(crate) istiod: PathBuf,
    pub(crate) istioctl: PathBuf,
    /// The definitions of Istio's kinds, as YAML.
    pub(crate) kinds: PathBuf,
    /// The definitions of the Gateway API's kinds that the tests use, as YAML.
    pub(crate) gateway_api: PathBuf,
    /// `ip` of iproute2, which gives the tests addresses of their own.
    pub(crate) ip: PathBuf,
}

/// Obtains all of them. Uses what is already on this machine.
pub(crate) fn obtain() -> Result<Istio> {
    Ok(Istio {
        ip: from_debian("ip", "iproute2")?,
        istiod: program("pilot-discovery", "pilot/cmd/pilot-discovery")?,
        istioctl: program("istioctl", "istioctl/cmd/istioctl")?,
        kinds: module::definition(&KINDS)?,
        gateway_api: module::definition(&GATEWAY_API)?,
    })
}

/// Returns a program of Istio.
fn program(name: &str, package: &str) -> Result<PathBuf> {
    let version = versions::ISTIO;
    module::built(name, version, |into| {
        let mut go = go::command(&["install", "-trimpath", "-ldflags", "-s -w"])?;
        go.env("GOBIN", into);
        go.arg(format!("istio.io/istio/{package}@v{version}"));
        run::output(&mut go).map(drop)
    })
}
