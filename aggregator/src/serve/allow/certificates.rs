//! Client certificates: who signed them, and which names they have.

use super::names::Pattern;
use super::settings::ClientCertificates;
use super::{Denied, Shown};
use crate::metrics::labels::Judged;
use crate::pem;
use crate::serve::files::{File, Newest, Source};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a certificate that was checked on a connection needs no other check. It may expire
/// meanwhile.
const CHECK_AGAIN: Duration = Duration::from_secs(60);

/// The client of a connection.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Its certificate, whose key it has, and those that lead to a CA. Nobody has checked them.
    /// Empty: it showed none.
    chain: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judgement>>,
}

/// What a check has found out, when, and by which CAs.
#[derive(Debug, Clone)]
struct Judgement {
    cas: Arc<Cas>,
    at: Instant,
    outcome: Result<(), Denied>,
}

impl Peer {
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            chain,
            judged: Mutex::default(),
        }
    }
}

/// The CAs of a file.
#[derive(Debug)]
pub(super) struct Cas(Arc<dyn ClientCertVerifier>);

/// Which certificates are allowed.
#[derive(Debug)]
pub(super) struct Certificates {
    cas: Newest<Cas>,
    names: Vec<Pattern>,
}

/// Reads the CAs.
pub(super) fn source(settings: &ClientCertificates, section: &str) -> Source<Cas> {
    Source {
        files: vec![File {
            setting: format!("{section}.client_certificates.ca_file"),
            path: settings.ca_file.clone(),
        }],
        make: Box::new(|files, contents| {
            let (Some(file), Some(text)) = (files.first(), contents.first()) else {
                return Err("no file".to_owned());
            };
            let told = |why: String| {
                file.error(&format!(
                    "{why}; write the CA's certificate into it, as PEM"
                ))
            };
            let roots = pem::certificates(text).and_then(|list| pem::roots(&list));
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots.map_err(told)?),
                provider,
            )
            .build();
            verifier.map(Cas).map_err(|error| told(error.to_string()))
        }),
    }
}

impl Certificates {
    pub(super) fn new(cas: Newest<Cas>, names: Vec<Pattern>) -> Self {
        Self { cas, names }
    }

    /// Judges what the client of a connection has shown.
    pub(super) fn judge(&self, peer: &Peer) -> Shown {
        let Some((own, further)) = peer.chain.split_first() else {
            return Shown::Nothing;
        };
        let cas = Arc::clone(&self.cas.borrow());
        let mut judged = peer.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match &*judged {
            Some(one) if Arc::ptr_eq(&one.cas, &cas) && one.at.elapsed() < CHECK_AGAIN => {
                one.outcome.clone()
            }
            _ => {
                let outcome = self.check(&cas, own, further);
                *judged = Some(Judgement {
                    cas,
                    at: Instant::now(),
                    outcome: outcome.clone(),
                });
                outcome
            }
        };
        match outcome {
            Ok(()) => Shown::Allowed(Judged::Certificate),
            Err(denied) => Shown::Denied(denied),
        }
    }

    fn check(
        &self,
        cas: &Cas,
        own: &CertificateDer<'_>,
        further: &[CertificateDer<'_>],
    ) -> Result<(), Denied> {
        let checked = cas.0.verify_client_cert(own, further, UnixTime::now());
        checked.map_err(|error| {
            Denied::wrong(format!(
                "your certificate is not valid here: {error}; show one that a CA in `client_certificates.ca_file` has signed, or add its CA there"
            ))
        })?;
        let end = webpki::EndEntityCert::try_from(own)
            .map_err(|error| Denied::wrong(format!("your certificate cannot be read: {error}")))?;
        let is = |found: fn(&Pattern, &str) -> bool, name: &str| {
            self.names.iter().any(|pattern| found(pattern, name))
        };
        if end.valid_uri_names().any(|uri| is(Pattern::is_uri, uri))
            || end.valid_dns_names().any(|name| is(Pattern::is_dns, name))
        {
            return Ok(());
        }
        let names = end.valid_uri_names().chain(end.valid_dns_names());
        // A certificate may have thousands.
        let names: Vec<&str> = names.take(4).collect();
        Err(Denied::not_allowed(format!(
            "your certificate is valid, and none of its names is allowed ({}); add one to `client_certificates.names`",
            names.join(", ")
        )))
    }
}
