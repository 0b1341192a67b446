//! Reads certificates and keys from PEM. The text of an error follows the name of the file.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Returns all certificates of a file, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let list = list.map_err(|error| format!("is not PEM: {error}"))?;
    if list.is_empty() {
        return Err("holds no certificate in PEM".to_owned());
    }
    Ok(list)
}

/// Returns the first private key of a file.
pub(crate) fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text)
        .map_err(|error| format!("holds no private key in PEM: {error}"))
}

/// Returns certificates as those of CAs.
pub(crate) fn roots(list: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in list {
        roots
            .add(certificate.clone())
            .map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    Ok(roots)
}
