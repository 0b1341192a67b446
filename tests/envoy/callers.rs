//! What Envoy shows an aggregator that does not speak to everybody, as deploy/envoy/callers has it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use trimtab::process::Child;

use crate::support::{
    Backend, RELEASES, Release, Stage, StageOptions, chat, config, eventually, severe,
    tells_of_restart,
};

/// An aggregator that allows some, the model server that it lists, and Envoy's files.
struct Guarded {
    aggregator: Child,
    address: std::net::SocketAddr,
    backend: Backend,
    dir: TempDir,
}

impl Guarded {
    /// `settings`: YAML of its listener. `DIR` in it is the folder of the files.
    async fn start(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        std::fs::write(dir.path().join("secrets"), "0123456789abcdef\n").unwrap();
        let backend = Backend::start().await;
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let settings = settings.replace("DIR", &dir.path().display().to_string());
        let text = format!(
            "listen: {address}\n{settings}\npools: [{{name: default, discovery: {{endpoints: [{{address: '{}'}}]}}}}]\n",
            backend.address
        );
        let path = dir.path().join("aggregator.yaml");
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
        command.args(["aggregator", "--config"]).arg(path);
        let log = dir.path().join("aggregator.log");
        Self {
            aggregator: Child::spawn("aggregator", &command, &log).unwrap(),
            address,
            backend,
            dir,
        }
    }

    /// Returns a part of deploy/envoy/callers with paths in this folder.
    fn part(&self, name: &str) -> Value {
        self.part_with(name, "", "")
    }

    /// Does the same with a replacement.
    fn part_with(&self, name: &str, from: &str, to: &str) -> Value {
        let shown = self.dir.path().display().to_string();
        let text = config::read(&format!("callers/{name}"));
        let text = match from {
            "" => text,
            _ => {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            }
        };
        let text = text.replace("/etc/trimtab", &shown);
        serde_saphyr::from_str(&text).unwrap()
    }
}

/// Writes a CA, and a certificate that it signs for both sides.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Envoy takes a certificate with the CA's own name for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, "the CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["trimtab-aggregator".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    std::fs::write(dir.join("ca.crt"), ca.pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
}

async fn is_placed(guarded: &Guarded, overlay: impl Fn(Release) -> Value) {
    for release in RELEASES {
        let overlay = overlay(release);
        let options = StageOptions {
            overlay,
            release: Some(release),
            ..StageOptions::default()
        };
        let stage = Stage::start(&[guarded.backend.address], guarded.address, options).await;
        stage.placing().await;
        let log = stage.envoy.log_text();
        let told = severe(&log);
        let told: Vec<_> = told
            .into_iter()
            .filter(|line| !tells_of_restart(line))
            .collect();
        assert_eq!(told, Vec::<&str>::new());
    }
    let log = guarded.aggregator.log_tail(50);
    assert!(log.contains("listening"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_from_a_file_lets_envoy_in() {
    let guarded = Guarded::start("allow: {bearer_file: DIR/secrets}").await;
    let secret = guarded.part("secret.yaml");
    std::fs::write(guarded.dir.path().join("secret.yaml"), secret.to_string()).unwrap();
    let prefix = "header_value_prefix: \"Bearer \"\n";
    is_placed(&guarded, |release| {
        let path = guarded.dir.path().join("secret");
        match release {
            Release::Oldest => {
                // As the head of the file says.
                std::fs::write(path, "Bearer 0123456789abcdef").unwrap();
                guarded.part_with("bearer.yaml", prefix, "\n")
            }
            Release::Newest => {
                std::fs::write(path, "0123456789abcdef").unwrap();
                guarded.part("bearer.yaml")
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_envoy_in() {
    let guarded = Guarded::start(
        "tls: {cert_file: DIR/tls.crt, key_file: DIR/tls.key}\nallow: {client_certificates: {ca_file: DIR/ca.crt, names: [trimtab-aggregator]}}",
    )
    .await;
    is_placed(&guarded, |_| guarded.part("certificate.yaml")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_either_envoy_balances_and_its_log_says_who_must_let_it_in() {
    let guarded = Guarded::start("allow: {bearer_file: DIR/secrets}").await;
    let stage = Stage::start(
        &[guarded.backend.address],
        guarded.address,
        StageOptions::default(),
    )
    .await;
    chat(stage.address, "hello").await.unwrap().ok();
    eventually("it is told", async || {
        let log = stage.envoy.log_text();
        log.contains("forbidden (status 401)").then_some(())
    })
    .await;
}
