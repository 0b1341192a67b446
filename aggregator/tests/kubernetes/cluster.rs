//! An API server with an empty etcd of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;

/// Only one cluster runs at a time: each takes 300 MB, and tests measure how fast it answers.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(crate) struct Cluster {
    dir: TempDir,
    port: u16,
    etcd_port: u16,
    /// What the API server is told beside what every one is.
    options: &'static [&'static str],
    etcd: Child,
    server: Option<Child>,
    pub(crate) client: Client,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts etcd and the API server, and waits until the server is ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As `start`, with further options of the API server.
    pub(crate) async fn start_with(options: &'static [&'static str]) -> Self {
        let alone = ONE.lock().await;
        let dir = tempfile::tempdir().unwrap();
        // Ports that were free a moment ago.
        let [port, etcd_port, peer_port] = free_ports();
        let etcd = program("TRIMTAB_ETCD")
            .arg("--data-dir")
            .arg(dir.path().join("etcd"))
            .args(["--unsafe-no-fsync", "--listen-client-urls"])
            .arg(format!("http://127.0.0.1:{etcd_port}"))
            .arg("--advertise-client-urls")
            .arg(format!("http://127.0.0.1:{etcd_port}"))
            .arg("--listen-peer-urls")
            .arg(format!("http://127.0.0.1:{peer_port}"))
            .stdout(Stdio::null())
            .stderr(log(dir.path(), "etcd"))
            .spawn()
            .unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(dir.path().join("key.pub"), key.public_key_pem()).unwrap();
        std::fs::write(
            dir.path().join("tokens"),
            "root,root,1,\"system:masters\"\nreader,reader,2\n",
        )
        .unwrap();
        let server = serve(dir.path(), port, etcd_port, options);
        let kubeconfig = kubeconfig(dir.path(), port, "root");
        let client = eventually("the certificate is there", async || {
            client(&kubeconfig).await
        })
        .await;
        let mut cluster = Self {
            dir,
            port,
            etcd_port,
            options,
            etcd,
            server: Some(server),
            client,
            _alone: alone,
        };
        cluster.ready().await;
        cluster
    }

    /// Writes a kubeconfig for this user and port, and returns its path.
    pub(crate) fn kubeconfig(&self, user: &str, port: u16) -> PathBuf {
        kubeconfig(self.dir.path(), port, user)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Kills the API server, as a crash would. etcd keeps its data.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.server = Some(serve(
            self.dir.path(),
            self.port,
            self.etcd_port,
            self.options,
        ));
        self.ready().await;
    }

    async fn ready(&mut self) {
        eventually("the API server is ready", async || {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the API server ended: {ended:?}");
            let request = http_request("/readyz");
            let ready = self.client.request_text(request).await.ok();
            if ready.is_none() {
                // The certificate may have been read before it was written to its end.
                let kubeconfig = self.kubeconfig("root", self.port);
                if let Some(client) = client(&kubeconfig).await {
                    self.client = client;
                }
            }
            ready
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.server.iter_mut().chain([&mut self.etcd]) {
            // A child that has already ended is no error.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("apiserver.log"));
            let log = log.unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!(
                "the API server's last words, newest first:\n{}",
                last.join("\n")
            );
        }
    }
}

fn http_request(path: &str) -> axum::http::Request<Vec<u8>> {
    axum::http::Request::get(path).body(Vec::new()).unwrap()
}

fn program(variable: &str) -> Command {
    let path = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: `cargo xtask test` sets it"));
    Command::new(path)
}

fn serve(dir: &Path, port: u16, etcd_port: u16, options: &[&str]) -> Child {
    let key = dir.join("key.pem");
    program("TRIMTAB_KUBE_APISERVER")
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--authorization-mode=RBAC"])
        .arg(format!("--cert-dir={}", dir.join("certs").display()))
        .arg(format!(
            "--service-account-key-file={}",
            dir.join("key.pub").display()
        ))
        .arg(format!(
            "--service-account-signing-key-file={}",
            key.display()
        ))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!(
            "--token-auth-file={}",
            dir.join("tokens").display()
        ))
        .arg("--service-cluster-ip-range=10.96.0.0/16")
        .arg("--disable-admission-plugins=ServiceAccount")
        .args(options)
        .stdout(Stdio::null())
        .stderr(log(dir, "apiserver"))
        .spawn()
        .unwrap()
}

fn log(dir: &Path, name: &str) -> File {
    let path = dir.join(format!("{name}.log"));
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn kubeconfig(dir: &Path, port: u16, user: &str) -> PathBuf {
    let path = dir.join(format!("kubeconfig-{user}-{port}"));
    let ca = dir.join("certs/apiserver.crt");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: '{}'}}}}]\n\
         users: [{{name: me, user: {{token: {user}}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n",
        ca.display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Returns `None` until the server has made its certificate.
async fn client(kubeconfig: &Path) -> Option<Client> {
    let file = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await.ok()?;
    Client::try_from(config).ok()
}

/// Polls until `look` returns something. Fails with `what` after a minute, which only bounds a
/// broken run.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
