//! A mesh: an API server with the objects around Trimtab, istiod, model servers and an aggregator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cluster::{Cluster, eventually};
use crate::istiod::{Istiod, variable};
use crate::kubectl::Kubectl;
use crate::manifests::{Way, project};
use crate::support::{Answer, Backend, ScriptedAggregator, row, table};

const BASE: &str = include_str!("objects/base.yaml");
/// The aggregator's own manifests.
const OVERLAY: &str = "deploy/kubernetes/overlays/namespaced";
/// Where the aggregator is.
pub(crate) const AGGREGATOR: SocketAddr = pod(9, 9_190);

/// The address of a pod.
pub(crate) const fn pod(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, last)), port)
}

/// Everything but proxies.
pub(crate) struct Mesh {
    // Ends before the API server does.
    _istiod: Istiod,
    pub(crate) kubectl: Kubectl,
    /// Endpoints of the Service `vllm`, where the test scripts them.
    pub(crate) vllm: Vec<Backend>,
    /// Endpoints of the Service `coder`.
    pub(crate) coder: Vec<Backend>,
    /// Absent before it starts and after it was killed.
    pub(crate) aggregator: Option<ScriptedAggregator>,
    /// Number of the newest table.
    sequence: u64,
    dir: TempDir,
    _cluster: Cluster,
}

impl Mesh {
    /// Starts it with scripted servers and tables. The first server of each Service is the best by
    /// far.
    ///
    /// - `way`: istiod has the variables that this way asks for.
    pub(crate) async fn start(way: Way) -> Self {
        let mut mesh = Self::with_istiod(way.variables()).await;
        for last in [1, 2, 3] {
            mesh.vllm.push(server(last).await);
        }
        for last in [5, 6] {
            mesh.coder.push(server(last).await);
        }
        mesh.start_aggregator(0).await;
        mesh
    }

    /// Starts it without anything behind the Services.
    pub(crate) async fn without_servers() -> Self {
        Self::with_istiod(&[]).await
    }

    /// Does the same, with further variables of istiod.
    pub(crate) async fn with_istiod(variables: &[(&str, &str)]) -> Self {
        // Without a way out the API server finds no address of its own.
        let cluster = Cluster::start_with(&["--advertise-address=10.1.0.250"]).await;
        let kubectl = Kubectl::of(&cluster);
        for kinds in ["TRIMTAB_ISTIO_CRDS", "TRIMTAB_GATEWAY_API_CRDS"] {
            let kinds = variable(kinds);
            kubectl.run(&["apply", "--server-side", "-f", kinds.to_str().unwrap()]);
        }
        kubectl.run(&["wait", "--for=condition=Established", "crd", "--all"]);
        let dir = tempfile::tempdir().unwrap();
        apply(&kubectl, &dir.path().join("base.yaml"), BASE).await;
        let kubeconfig = cluster.kubeconfig("root", cluster.address().port());
        let mesh = Self {
            _istiod: Istiod::start(&kubeconfig, dir.path(), variables).await,
            kubectl,
            vllm: Vec::new(),
            coder: Vec::new(),
            aggregator: None,
            sequence: 0,
            dir,
            _cluster: cluster,
        };
        mesh.kubectl.apply(&project(OVERLAY));
        mesh
    }

    /// Starts an aggregator whose tables prefer one of the servers of `vllm`.
    pub(crate) async fn start_aggregator(&mut self, best: usize) {
        let answer = self.preferring(best);
        let aggregator = ScriptedAggregator::start_at(AGGREGATOR, answer).await;
        let [first, second] = [0, 1].map(|at: usize| self.coder[at].name());
        let mut code = table(1, vec![row(&first, 0), row(&second, 600_000)]);
        "code".clone_into(&mut code.pool);
        aggregator.add(code);
        self.aggregator = Some(aggregator);
    }

    /// Publishes a table that prefers this server of `vllm`.
    pub(crate) fn prefer(&mut self, best: usize) {
        let answer = self.preferring(best);
        self.aggregator.as_ref().unwrap().publish(answer);
    }

    /// A table in which only one of the servers of `vllm` has no wait.
    fn preferring(&mut self, best: usize) -> Answer {
        let wait_ms = |at: usize| if at == best { 0 } else { 600_000 };
        let rows = self.vllm.iter().enumerate();
        let rows = rows.map(|(at, server)| row(&server.name(), wait_ms(at)));
        self.sequence += 1;
        Answer::Table(table(self.sequence, rows.collect()))
    }

    /// Returns the path of a file of this mesh.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Applies objects.
    pub(crate) async fn apply(&self, objects: &str) {
        apply(&self.kubectl, &self.path("objects.yaml"), objects).await;
    }
}

/// Applies objects by way of a file. The API server refuses fields that it does not know.
/// Namespaces may need a moment before they take objects.
async fn apply(kubectl: &Kubectl, path: &Path, objects: &str) {
    std::fs::write(path, objects).unwrap();
    let path = path.to_str().unwrap();
    eventually("the objects are applied", async || {
        let apply = ["apply", "--server-side", "--validate=strict", "-f", path];
        let output = kubectl.output(&apply);
        let errors = String::from_utf8_lossy(&output.stderr);
        let is_early = errors.contains("not found") && errors.contains("namespace");
        assert!(output.status.success() || is_early, "{errors}");
        (output.status.success() && errors.is_empty()).then_some(())
    })
    .await;
}

async fn server(last: u8) -> Backend {
    Backend::start_at(pod(last, 8_000)).await
}
