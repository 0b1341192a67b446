//! Obtains a Kubernetes API server without a cluster: kube-apiserver and kubectl, built from the Go
//! module proxy, etcd, and the definitions of kinds that are no part of Kubernetes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::tools::module::{self, Definition};
use crate::tools::{from_debian, go};
use crate::{run, versions};

const KUBERNETES: &str = "k8s.io/kubernetes";

const INFERENCE_POOLS: Definition = Definition {
    folder: "inference-extension",
    module: "sigs.k8s.io/gateway-api-inference-extension",
    version: versions::INFERENCE_EXTENSION,
    paths: &["config/crd/bases/inference.networking.k8s.io_inferencepools.yaml"],
    file: "inferencepools.yaml",
};

const POD_MONITORS: Definition = Definition {
    folder: "prometheus-operator",
    module: "github.com/prometheus-operator/prometheus-operator",
    version: versions::PROMETHEUS_OPERATOR,
    paths: &["example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"],
    file: "podmonitors.yaml",
};

/// The files that the tests start and apply.
#[derive(Debug, Clone)]
pub(crate) struct ApiServer {
    pub(crate) server: PathBuf,
    /// The client of the same release.
    pub(crate) kubectl: PathBuf,
    pub(crate) etcd: PathBuf,
    /// The definition of InferencePools, as YAML.
    pub(crate) inference_pools: PathBuf,
    /// The definition of PodMonitors, as YAML.
    pub(crate) pod_monitors: PathBuf,
}

/// Obtains all of them. Uses what is already on this machine.
pub(crate) fn obtain() -> Result<ApiServer> {
    Ok(ApiServer {
        etcd: from_debian("etcd", "etcd-server")?,
        server: program("kube-apiserver", versions::KUBERNETES)?,
        kubectl: program("kubectl", versions::KUBERNETES)?,
        inference_pools: module::definition(&INFERENCE_POOLS)?,
        pod_monitors: module::definition(&POD_MONITORS)?,
    })
}

/// Returns a program of Kubernetes, `k8s.io/kubernetes/cmd/NAME`. A `kubectl` of the PATH is not
/// taken: what kustomize does depends on the release.
fn program(name: &str, version: &str) -> Result<PathBuf> {
    module::built(name, version, |into| build(name, version, into))
}

fn build(name: &str, version: &str, into: &Path) -> Result<()> {
    let source = module::download(KUBERNETES, version)?;
    let own = std::fs::read_to_string(module::field(&source, "GoMod")?)?;
    let module = into.join("build");
    std::fs::create_dir_all(&module)?;
    std::fs::write(module.join("go.mod"), go_mod(&own, version)?)?;
    let mut parts = version.split('.');
    let (major, minor) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    // Without these flags clients cannot read the server's version.
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let flags = [
        "-s -w".to_owned(),
        set("gitVersion", &format!("v{version}")),
        set("gitMajor", major),
        set("gitMinor", minor),
    ];
    let mut go = go::command(&["build", "-trimpath", "-o"])?;
    go.arg(into.join(name));
    go.args(["-ldflags", &flags.join(" ")]);
    go.arg(format!("{KUBERNETES}/cmd/{name}"));
    run::output(go.current_dir(&module))?;
    std::fs::remove_dir_all(&module)?;
    Ok(())
}

/// Returns a module that needs the module of Kubernetes. That one replaces its parts by folders of
/// its repository. A replacement only counts in the main module, so this one takes the parts as
/// published modules of the same minor release.
fn go_mod(kubernetes: &str, version: &str) -> Result<String> {
    let parts = version.split_once('.').context("not a version")?.1;
    let lines = kubernetes.lines().map(str::trim);
    // Go behaves like the release that the main module names.
    let go = lines.clone().find(|line| line.starts_with("go "));
    let go = go.context("the module of Kubernetes names no release of Go")?;
    let replaced = lines.filter_map(|line| {
        let (name, to) = line.split_once(" => ")?;
        to.starts_with("./staging/").then_some(name)
    });
    let replaced: Vec<String> = replaced
        .map(|name| format!("replace {name} => {name} v0.{parts}\n"))
        .collect();
    if replaced.is_empty() {
        bail!("the module {KUBERNETES} {version} names no parts of its own");
    }
    Ok(format!(
        "module trimtab.dev/kube-apiserver\n\n{go}\n\nrequire {KUBERNETES} v{version}\n\n{}",
        replaced.concat()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_kubernetes_are_taken_in_the_release_that_goes_with_it() {
        let own = "module k8s.io/kubernetes\n\ngo 1.25.0\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/client-go => ./staging/src/k8s.io/client-go\n\tother => example.org/other v1.0.0\n)\n";
        let made = go_mod(own, "1.35.4").unwrap();
        assert!(
            made.contains("require k8s.io/kubernetes v1.35.4\n"),
            "{made}"
        );
        assert!(
            made.contains("replace k8s.io/api => k8s.io/api v0.35.4\n"),
            "{made}"
        );
        assert!(made.contains("\ngo 1.25.0\n"), "{made}");
        assert_eq!(made.matches("replace ").count(), 2, "{made}");
        assert!(go_mod("module k8s.io/kubernetes\ngo 1.25.0\n", "1.35.4").is_err());
    }
}
