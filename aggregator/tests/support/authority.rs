//! Certificates, and requests over TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A CA, which signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate with one name: a URI, an address or a DNS name.
    pub(crate) fn signs(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let san = match (name.contains("://"), name.parse()) {
            (true, _) => SanType::URI(name.try_into().unwrap()),
            (false, Ok(ip)) => SanType::IpAddress(ip),
            (false, Err(_)) => SanType::DnsName(name.try_into().unwrap()),
        };
        params.subject_alt_names.push(san);
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Identity {
    /// Writes `tls.crt` and `tls.key` as a Secret of Kubernetes is mounted: `..data` is a link that
    /// is swapped.
    pub(crate) fn mount(&self, dir: &Path, version: &str) -> (PathBuf, PathBuf) {
        let folder = dir.join(format!("..{version}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), &self.certificate).unwrap();
        std::fs::write(folder.join("tls.key"), &self.key).unwrap();
        let link = dir.join("..data_tmp");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        std::fs::rename(&link, dir.join("..data")).unwrap();
        let paths = (dir.join("tls.crt"), dir.join("tls.key"));
        for path in [&paths.0, &paths.1] {
            let name = Path::new("..data").join(path.file_name().unwrap());
            // It is there from the second time on.
            let _ = std::os::unix::fs::symlink(name, path);
        }
        paths
    }
}

/// A client that trusts one CA, with a certificate of its own or none.
#[derive(Clone)]
pub(crate) struct TlsClient(TlsConnector);

impl TlsClient {
    pub(crate) fn new(ca: &Authority, own: Option<&Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap();
        roots.add(der).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        Self(TlsConnector::from(Arc::new(config)))
    }

    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::from(address.ip());
        self.0.connect(name, stream).await
    }

    /// Sends one request on a connection of its own. Returns status and body, or an error if there
    /// is no whole answer.
    pub(crate) async fn request(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = self.connect(address).await?;
        send(&mut stream, method, path, headers, body).await
    }
}

/// Sends a request on a connection that stays open, and reads the answer.
pub(crate) async fn send(
    stream: &mut TlsStream<TcpStream>,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<(u16, Vec<u8>)> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok((head.get(9..12).unwrap().parse().unwrap(), body))
}
