//! Obtains Istio without a cluster: istiod and istioctl, built from the Go module proxy, and the
//! definitions of its kinds.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::tools::module::{self, Definition};
use crate::tools::{go, is_root, wasm_target};
use crate::{project, run, versions};

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
        ip: ip()?,
        istiod: program("pilot-discovery", "pilot/cmd/pilot-discovery")?,
        istioctl: program("istioctl", "istioctl/cmd/istioctl")?,
        kinds: module::definition(&KINDS)?,
        gateway_api: module::definition(&GATEWAY_API)?,
    })
}

fn ip() -> Result<PathBuf> {
    if let Some(path) = project::on_path("ip") {
        return Ok(path);
    }
    if project::on_path("apt-get").is_some() && is_root() {
        wasm_target::apt_install(&["iproute2"])?;
    }
    project::on_path("ip").context("no ip on the PATH; install it (Debian: iproute2)")
}

/// Returns a program of Istio from the cache folder. Builds it there first if necessary.
fn program(name: &str, package: &str) -> Result<PathBuf> {
    let version = versions::ISTIO;
    let dir = project::tools_dir()?.join(format!("{name}-{version}"));
    let path = dir.join(name);
    if !dir.is_dir() {
        let what = format!("build {version} into {} (minutes, once)", dir.display());
        run::step(name, &what, || {
            run::install_dir(&dir, |partial| {
                let mut go = go::command(&["install", "-trimpath", "-ldflags", "-s -w"])?;
                go.env("GOBIN", partial);
                go.arg(format!("istio.io/istio/{package}@v{version}"));
                run::output(&mut go).map(drop)
            })
        })?;
    }
    if !path.is_file() {
        bail!(
            "{} has no {name}; remove the folder and try again",
            dir.display()
        );
    }
    Ok(path)
}
