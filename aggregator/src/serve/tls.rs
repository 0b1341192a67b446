//! TLS of a listener: its certificate, and what a client shows.
//!
//! The handshake takes any client certificate whose key the client has proved to hold, and none.
//! Whether it is trusted is decided at each request (`allow`), so that a client reads why it is
//! refused, and a CA that is taken out is refused on connections that are open.

use super::files::{File, Source};
use super::settings::Tls;
use crate::pem;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, client,
};
use std::sync::Arc;

/// Makes the configuration of a server from certificate and key.
///
/// - `asks`: whether clients are asked for a certificate.
pub(crate) fn source(settings: &Tls, section: &str, asks: bool) -> Source<ServerConfig> {
    let file = |name: &str, path: &std::path::Path| File {
        setting: format!("{section}.{name}"),
        path: path.to_owned(),
    };
    Source {
        files: vec![
            file("cert_file", &settings.cert_file),
            file("key_file", &settings.key_file),
        ],
        make: Box::new(move |files, contents| make(files, contents, asks)),
    }
}

fn make(files: &[File], contents: &[Vec<u8>], asks: bool) -> Result<ServerConfig, String> {
    let ([cert_file, key_file], [cert, key]) = (files, contents) else {
        return Err("a certificate and a key are needed".to_owned());
    };
    let chain = pem::certificates(cert).map_err(|why| {
        cert_file.error(&format!(
            "{why}; write the certificate and its chain into it"
        ))
    })?;
    let key = pem::key(key)
        .map_err(|why| key_file.error(&format!("{why}; write the certificate's key into it")))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match asks {
        true => builder.with_client_cert_verifier(Arc::new(Possession(provider))),
        false => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let why = format!("and its key do not go together: {error}; write both anew");
        cert_file.error(&why)
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Checks that a client has the key of its certificate, and nothing else.
#[derive(Debug)]
struct Possession(Arc<CryptoProvider>);

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<client::danger::HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<client::danger::HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
