//! Tools from outside: found on this machine, or fetched into the user's cache folder.

pub(crate) mod api_server;
pub(crate) mod bindgen;
pub(crate) mod cxx;
pub(crate) mod envoy;
pub(crate) mod go;
pub(crate) mod inference_perf;
pub(crate) mod istio;
pub(crate) mod module;
pub(crate) mod node;
pub(crate) mod python;
pub(crate) mod registry;
pub(crate) mod wasm_target;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use crate::{project, run};

/// The tools of the other commands, from the cheapest to the most expensive. The last three
/// take minutes to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tool {
    /// The Envoy that demo, tests and benchmarks run
    Envoy,
    /// A toolchain that builds the filter
    Wasm,
    /// The oldest and the newest Envoy that the tests run
    EnvoyReleases,
    /// Node, for unit tests as wasm32
    Node,
    /// Python with the clients of the client tests
    Python,
    /// wasm-bindgen-test-runner, for unit tests as wasm32: minutes to build
    Bindgen,
    /// kube-apiserver, kubectl, etcd and a registry, for the Kubernetes tests: minutes to build
    Kubernetes,
    /// istiod and istioctl, for the Istio tests: minutes to build
    Istio,
}

/// Obtains these tools, or all if none is named. Prints the place of each as soon as it is known.
pub(crate) fn obtain(tools: &[Tool]) -> Result<()> {
    let all = Tool::value_variants();
    let wanted = |tool: &&Tool| tools.is_empty() || tools.contains(tool);
    for tool in all.iter().filter(wanted) {
        for (name, place) in tool.obtain()? {
            println!("{name:<24} {place}");
        }
    }
    Ok(())
}

impl Tool {
    /// Obtains the tool. Returns names and places.
    fn obtain(self) -> Result<Vec<(&'static str, String)>> {
        let envoy = |envoy: &envoy::Envoy| format!("{} ({})", envoy.path.display(), envoy.version);
        let at = |path: PathBuf| path.display().to_string();
        Ok(match self {
            Self::Envoy => vec![("envoy", envoy(&envoy::obtain()?))],
            Self::Wasm => vec![("wasm32 toolchain", wasm_target::obtain()?.describe())],
            Self::EnvoyReleases => {
                let [oldest, newest] = envoy::releases()?;
                vec![
                    ("envoy, oldest tested", envoy(&oldest)),
                    ("envoy, newest tested", envoy(&newest)),
                ]
            }
            Self::Node => vec![("node", at(node::obtain()?))],
            Self::Python => vec![("python (client tests)", at(python::venv()?))],
            Self::Bindgen => vec![("wasm-bindgen-test-runner", at(bindgen::obtain()?))],
            Self::Kubernetes => {
                let tools = api_server::obtain()?;
                let registry = registry::obtain()?;
                vec![
                    ("kube-apiserver", at(tools.server)),
                    ("kubectl", at(tools.kubectl)),
                    ("etcd", at(tools.etcd)),
                    ("InferencePool definition", at(tools.inference_pools)),
                    ("PodMonitor definition", at(tools.pod_monitors)),
                    ("docker-registry", at(registry.server)),
                    ("skopeo", at(registry.skopeo)),
                ]
            }
            Self::Istio => {
                let tools = istio::obtain()?;
                vec![
                    ("istiod", at(tools.istiod)),
                    ("istioctl", at(tools.istioctl)),
                    ("Istio's definitions", at(tools.kinds)),
                    ("Gateway API definitions", at(tools.gateway_api)),
                    ("ip", at(tools.ip)),
                ]
            }
        })
    }
}

/// Returns a program from the PATH. Installs the Debian package first where it is missing.
fn from_debian(name: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = project::on_path(name) {
        return Ok(path);
    }
    if project::on_path("apt-get").is_some() && is_root() {
        wasm_target::apt_install(&[package])?;
    }
    let missing = || format!("no {name} on the PATH; install it (Debian: {package})");
    project::on_path(name).with_context(missing)
}

/// Returns whether this process is root. Only root may install Debian packages.
fn is_root() -> bool {
    run::output(std::process::Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
