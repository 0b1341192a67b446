//! TLS for metrics pages: which certificates are trusted, and what an operator can do about a
//! failure.

use super::settings::Tls;
use crate::pem;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    Error, RootCertStore, SignatureScheme,
};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Makes the configuration of a client from the files as they are. It reads files, so it may block.
pub(super) fn client_config(settings: &Tls) -> Result<ClientConfig, String> {
    let verifier = Verifier::new(settings)?;
    let provider = Arc::clone(&verifier.provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some((cert_file, key_file)) = &settings.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(cert_file, "cert_file")?;
    let key = read(key_file, "key_file")?;
    let key = pem::key(&key).map_err(|why| file("key_file", key_file, &why))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        file(
            "cert_file",
            cert_file,
            &format!("and its key do not go together: {error}"),
        )
    })
}

/// Checks the server's certificate against the configured or the system's CAs, or not at all.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Absent: any certificate is accepted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of `ca_file`. A server may show one of them as its own. `openssl req -x509`
    /// makes a certificate that is its own CA, and the usual check refuses a CA as a server's
    /// certificate.
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(settings: &Tls) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        if settings.insecure_skip_verify {
            let (chain, trusted) = (None, Vec::new());
            return Ok(Self {
                provider,
                chain,
                trusted,
            });
        }
        let (roots, trusted) = match &settings.ca_file {
            Some(path) => {
                let list = certificates(path, "ca_file")?;
                let roots = pem::roots(&list).map_err(|why| file("ca_file", path, &why))?;
                (roots, list)
            }
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                (roots, Vec::new())
            }
        };
        let chain =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|_| {
                    "this system has no certificates of CAs; set `scrape.tls.ca_file`".to_owned()
                })?;
        Ok(Self {
            provider,
            chain: Some(chain),
            trusted,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The certificate is a CA's. Its expiry was already checked.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.trusted.iter().any(|one| one == end_entity) =>
            {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn certificates(path: &Path, field: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    pem::certificates(&read(path, field)?).map_err(|why| file(field, path, &why))
}

fn read(path: &Path, field: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| file(field, path, &error.to_string()))
}

fn file(field: &str, path: &Path, why: &str) -> String {
    format!("`scrape.tls.{field}` {}: {why}", path.display())
}

/// Explains a connection error that concerns TLS, with what the operator can do. `None`: the error
/// is not about TLS.
pub(super) fn reason(error: &(dyn std::error::Error + 'static), settings: &Tls) -> Option<String> {
    let error = find(error)?;
    Some(match error {
        Error::InvalidCertificate(certificate) => of_certificate(certificate, settings),
        Error::InvalidMessage(_) => {
            "what answers there speaks no TLS; write `scrape.scheme: http`, or http:// in `metrics_url`".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure,
        ) => match settings.client {
            None => format!("the server refuses us ({error}); if it wants a certificate of ours, set `scrape.tls.cert_file` and `scrape.tls.key_file`"),
            Some(_) => format!("the server refuses our certificate, `scrape.tls.cert_file`: {error}"),
        },
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server speaks no TLS newer than 1.1, which is not safe; let it speak TLS 1.2 or 1.3".to_owned()
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server speaks HTTP/2 alone, and pages are asked for by HTTP/1.1; write the port of the page as `metrics_port`, or let the server speak HTTP/1.1 too".to_owned()
        }
        other => other.to_string(),
    })
}

fn of_certificate(error: &CertificateError, settings: &Tls) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it there".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; compare the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "the server's certificate has no name (subjectAltName; a common name is none): make one that has, or set `scrape.tls.insecure_skip_verify`".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate has another name ({error}); set `scrape.tls.server_name` to one that it has")
        }
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::Other(_) => match &settings.ca_file {
            None => "nobody that this system trusts has signed the server's certificate; set `scrape.tls.ca_file` to the CA's certificate, or to the server's own if it signed that itself".to_owned(),
            Some(path) => format!("no CA in `scrape.tls.ca_file` {} has signed the server's certificate; put the one that has into it", path.display()),
        },
        other => format!("the server's certificate cannot be used: {other}"),
    }
}

/// Finds the TLS error within errors of I/O. The `source` of an I/O error skips the error that it
/// wraps.
fn find<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io
                .get_ref()
                .map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Whether a server answers the beginning of a TLS handshake with TLS: a handshake or an alert. It
/// then was asked in plain HTTP by mistake.
pub(super) async fn is_spoken(host: &str, port: u16) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(&hello()?).await.ok()?;
        stream.read_u8().await.ok()
    };
    matches!(answer.await, Some(0x15 | 0x16))
}

/// Returns a client's first message of a handshake.
fn hello() -> Option<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut client = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn each_refusal_is_told_with_what_to_do() {
        let certificate = Error::InvalidCertificate;
        let own = Tls {
            ca_file: Some("own.crt".into()),
            client: Some(("ours.crt".into(), "ours.key".into())),
            ..Tls::default()
        };
        let nobody = Tls::default();
        let unknown = certificate(CertificateError::UnknownIssuer);
        let required = Error::AlertReceived(AlertDescription::CertificateRequired);
        let nameless = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a").expect("a name"),
            presented: Vec::new(),
        };
        let type_byte = Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        for (error, settings, says) in [
            (certificate(nameless), &own, "has no name"),
            (unknown.clone(), &nobody, "set `scrape.tls.ca_file`"),
            (unknown, &own, "no CA in `scrape.tls.ca_file` own.crt"),
            (certificate(CertificateError::Expired), &own, "has expired"),
            (certificate(CertificateError::NotValidYet), &own, "clocks"),
            (
                certificate(CertificateError::NotValidForName),
                &own,
                "set `scrape.tls.server_name`",
            ),
            (
                certificate(CertificateError::Revoked),
                &own,
                "cannot be used",
            ),
            (type_byte, &nobody, "write `scrape.scheme: http`"),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                &nobody,
                "let it speak TLS 1.2",
            ),
            (
                Error::AlertReceived(AlertDescription::NoApplicationProtocol),
                &nobody,
                "HTTP/2 alone",
            ),
            (required.clone(), &nobody, "set `scrape.tls.cert_file`"),
            (required, &own, "refuses our certificate"),
        ] {
            // I/O errors come nested like this.
            let inner = io::Error::new(io::ErrorKind::InvalidData, error);
            let told = reason(&io::Error::other(inner), settings).expect("of TLS");
            assert!(told.contains(says), "{says}: {told}");
        }
        assert_eq!(
            reason(&io::Error::from(io::ErrorKind::ConnectionReset), &own),
            None
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            Tls {
                ca_file: Some(path),
                ..Tls::default()
            }
        };
        for (settings, says) in [
            (
                Tls {
                    ca_file: Some("/no/such".into()),
                    ..Tls::default()
                },
                "No such file",
            ),
            (write("text", "hello"), "holds no certificate in PEM"),
            (
                write(
                    "cut",
                    "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
                ),
                "cannot be used",
            ),
        ] {
            let error = client_config(&settings).expect_err("refused");
            assert!(
                error.contains(says) && error.contains("`scrape.tls.ca_file` /"),
                "{error}"
            );
        }
    }
}
