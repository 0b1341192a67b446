//! Pages over TLS, on real sockets with real certificates: what is trusted, and what the operator
//! reads where it is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

mod support;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use support::{Running, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use trimtab_loadtable::State;

/// A certificate and its key, PEM.
struct Identity {
    certificate: String,
    key: String,
}

/// A CA, which signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn signs(&self, name: &str) -> Identity {
        self.signs_until(name, 4096)
    }

    fn signs_until(&self, name: &str, year: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = params(name, year);
        Identity {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn params(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    params
}

/// A certificate that is its own CA, as `openssl req -x509` makes them.
fn signed_by_itself(name: &str, year: i32) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = params(name, year);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Identity {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

fn config(identity: &Identity, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
            roots.add(ca).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    builder.with_single_cert(chain, key).unwrap()
}

/// A model server with TLS. Its certificate can be replaced.
struct Server {
    address: SocketAddr,
    acceptor: Arc<Mutex<TlsAcceptor>>,
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Arc::new(Mutex::new(TlsAcceptor::from(Arc::new(config))));
        let now = Arc::clone(&acceptor);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = now.lock().unwrap().clone();
                tokio::spawn(async move { serve(acceptor.accept(stream).await.ok()?).await });
            }
        });
        Self { address, acceptor }
    }

    fn shows(&self, identity: &Identity) {
        *self.acceptor.lock().unwrap() = TlsAcceptor::from(Arc::new(config(identity, None)));
    }
}

async fn serve(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> Option<()> {
    // One request per connection, so that each needs a handshake.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let body = "vllm:num_requests_waiting 3\nvllm:num_requests_running 2\n";
    let head = "HTTP/1.1 200 OK\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// An aggregator with one endpoint. `scrape` and `endpoint` are further settings of these sections.
async fn aggregator(address: SocketAddr, endpoint: &str, scrape: &str) -> Running {
    Running::start(&format!(
        "- {{name: chat, discovery: {{endpoints: [{{address: '{address}'{endpoint}}}]}}, publish_interval: 20ms, scrape: {{interval: 20ms, select: false, {scrape}}}}}\n"
    ))
    .await
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn is_scraped(app: &Running, address: SocketAddr) {
    let row = app.row(address, |row| row.state == State::Ready).await;
    assert_eq!((row.waiting, row.running), (Some(3), Some(2)));
}

/// Waits until three scrapes have failed because of TLS. None may have succeeded.
async fn is_refused(app: &Running) {
    eventually("TLS is refused", async || {
        app.metric("scrapes_total{pool=\"chat\",result=\"tls\"}")
            .await
            >= 3.0
    })
    .await;
    let fine = app
        .metric("scrapes_total{pool=\"chat\",result=\"ok\"}")
        .await;
    assert!(fine.abs() < 0.5, "{fine}");
}

#[tokio::test]
async fn a_page_behind_a_ca_is_read_with_its_file_by_scheme_or_by_url() {
    let (files, ca) = (Files::new(), Authority::new());
    let path = files.write("ca.crt", &ca.pem());
    let tls = format!("tls: {{ca_file: '{}'}}", path.display());
    let server = Server::start(config(&ca.signs("127.0.0.1"), None)).await;
    let by_scheme = aggregator(server.address, "", &format!("scheme: https, {tls}")).await;
    is_scraped(&by_scheme, server.address).await;
    let url = format!(", metrics_url: 'https://{}/metrics'", server.address);
    let by_url = aggregator(server.address, &url, &tls).await;
    is_scraped(&by_url, server.address).await;
}

#[tokio::test]
async fn a_server_may_show_what_it_signed_itself_where_that_is_the_file() {
    let files = Files::new();
    for (identity, fine) in [
        (signed_by_itself("127.0.0.1", 4096), true),
        (signed_by_itself("127.0.0.1", 2001), false),
        (signed_by_itself("another.name", 4096), false),
    ] {
        let path = files.write("own.crt", &identity.certificate);
        let server = Server::start(config(&identity, None)).await;
        let tls = format!("scheme: https, tls: {{ca_file: '{}'}}", path.display());
        let app = aggregator(server.address, "", &tls).await;
        match fine {
            true => is_scraped(&app, server.address).await,
            false => is_refused(&app).await,
        }
    }
}

#[tokio::test]
async fn strangers_other_names_and_the_past_are_refused_and_can_be_let_in() {
    let (files, ca, stranger) = (Files::new(), Authority::new(), Authority::new());
    let path = files.write("ca.crt", &ca.pem());
    let path = path.display();
    let refused = [
        stranger.signs("127.0.0.1"),
        ca.signs("vllm.default.svc"),
        ca.signs_until("127.0.0.1", 2001),
    ];
    for identity in &refused {
        let server = Server::start(config(identity, None)).await;
        let tls = format!("scheme: https, tls: {{ca_file: '{path}'}}");
        is_refused(&aggregator(server.address, "", &tls).await).await;
        let skip = "scheme: https, tls: {insecure_skip_verify: true}";
        is_scraped(&aggregator(server.address, "", skip).await, server.address).await;
    }
    let server = Server::start(config(&refused[1], None)).await;
    let named = format!("scheme: https, tls: {{ca_file: '{path}', server_name: vllm.default.svc}}");
    is_scraped(
        &aggregator(server.address, "", &named).await,
        server.address,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let (files, ca) = (Files::new(), Authority::new());
    let ca_file = files.write("ca.crt", &ca.pem());
    let ours = ca.signs("aggregator");
    let (cert, key) = (
        files.write("tls.crt", &ours.certificate),
        files.write("tls.key", &ours.key),
    );
    let server = Server::start(config(&ca.signs("127.0.0.1"), Some(&ca))).await;
    let without = format!("scheme: https, tls: {{ca_file: '{}'", ca_file.display());
    let with = format!(
        "{without}, cert_file: '{}', key_file: '{}'}}",
        cert.display(),
        key.display()
    );
    is_refused(&aggregator(server.address, "", &format!("{without}}}")).await).await;
    is_scraped(&aggregator(server.address, "", &with).await, server.address).await;
}

#[tokio::test]
async fn a_file_that_comes_or_changes_later_is_read_then() {
    let (files, old, new) = (Files::new(), Authority::new(), Authority::new());
    let path = files.0.path().join("ca.crt");
    let server = Server::start(config(&old.signs("127.0.0.1"), None)).await;
    let tls = format!("scheme: https, tls: {{ca_file: '{}'}}", path.display());
    let app = aggregator(server.address, "", &tls).await;
    is_refused(&app).await;
    files.write("ca.crt", &old.pem());
    is_scraped(&app, server.address).await;
    server.shows(&new.signs("127.0.0.1"));
    let _ = app
        .row(server.address, |row| row.state == State::Suspect)
        .await;
    files.write("ca.crt", &new.pem());
    is_scraped(&app, server.address).await;
}

#[tokio::test]
async fn plain_http_to_tls_and_tls_to_plain_http_are_told_apart_from_dead_servers() {
    let server = Server::start(config(&Authority::new().signs("127.0.0.1"), None)).await;
    is_refused(&aggregator(server.address, "", "scheme: http").await).await;
    // The aggregator itself serves as a server of plain HTTP.
    let plain = aggregator(server.address, "", "scheme: https").await;
    is_refused(&aggregator(plain.address, "", "scheme: https").await).await;
}
