//! kubectl of the API server's release.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;

/// kubectl for one cluster, as its administrator.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Home of kubectl's cache.
    home: TempDir,
}

impl Kubectl {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let program = std::env::var_os("TRIMTAB_KUBECTL")
            .expect("TRIMTAB_KUBECTL is not set: `cargo xtask test` sets it");
        Self {
            program: program.into(),
            kubeconfig: cluster.kubeconfig("root", cluster.address().port()),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Makes a command use this kubectl and cluster. Its folder is the first of the PATH.
    pub(crate) fn set_up(&self, command: &mut Command) {
        let folder = self.program.parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.home.path());
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        self.set_up(&mut command);
        command.args(args).output().unwrap()
    }

    /// Returns what it prints. Fails if it fails or warns.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "kubectl {args:?}: {errors}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[args, &["-o", "json"]].concat())).unwrap()
    }

    /// Applies a folder with a kustomization. The server refuses fields that it does not know.
    pub(crate) fn apply(&self, folder: &Path) -> String {
        let folder = folder.to_str().unwrap();
        self.run(&["apply", "--server-side", "--validate=strict", "-k", folder])
    }

    /// Writes a kubeconfig for a service account, and returns its path.
    pub(crate) fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.run(&["create", "token", account, "--namespace", namespace]);
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let own = text.replace("token: root", &format!("token: {}", token.trim()));
        assert_ne!(own, text);
        let path = self.home.path().join(format!("{namespace}-{account}"));
        std::fs::write(&path, own).unwrap();
        path
    }
}
