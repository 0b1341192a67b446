//! Decides who may speak at a listener: those with a client certificate, a secret or a token of a
//! service account that is allowed. One of these suffices.

mod accounts;
mod certificates;
mod names;
mod secrets;
mod settings;

pub(crate) use certificates::Peer;
pub use names::Pattern;
pub use settings::{Allow, ClientCertificates, ServiceAccounts};

use super::Refused;
use super::files::{Checked, Newest};
use crate::metrics::ListenerMetrics;
use crate::metrics::labels::Judged;
use accounts::Accounts;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use certificates::Certificates;
use secrets::Secrets;
use std::sync::Arc;

/// The most bytes of a bearer token that are looked at.
const TOKEN_BYTES: usize = 16 * 1024;

/// Lets in whom the settings of a listener allow.
#[derive(Debug)]
pub(crate) struct Gate {
    certificates: Option<Certificates>,
    secrets: Option<Newest<Secrets>>,
    accounts: Option<Accounts>,
    metrics: Arc<ListenerMetrics>,
}

/// What was found of one kind of credentials.
enum Shown {
    Nothing,
    Allowed(Judged),
    Denied(Denied),
}

/// Why a request is not answered.
#[derive(Debug, Clone)]
struct Denied {
    status: StatusCode,
    label: Judged,
    why: String,
}

impl Denied {
    fn wrong(why: String) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            label: Judged::Wrong,
            why,
        }
    }

    fn not_allowed(why: String) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            label: Judged::NotAllowed,
            why,
        }
    }

    fn not_known(why: String) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            label: Judged::NotKnown,
            why,
        }
    }
}

impl Gate {
    /// Reads the files that the settings name, and follows them. Must be called within a runtime.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(crate) fn new(
        allow: &Allow,
        section: &str,
        metrics: &Arc<ListenerMetrics>,
    ) -> Result<Self, String> {
        let certificates = allow.client_certificates.as_ref().map(|settings| {
            let cas = certificates::source(settings, section).start(Arc::clone(metrics))?;
            Ok::<_, String>(Certificates::new(cas, settings.names.clone()))
        });
        let secrets = allow.bearer_file.as_ref();
        let secrets = secrets.map(|path| secrets::source(path, section).start(Arc::clone(metrics)));
        Ok(Self {
            certificates: certificates.transpose()?,
            secrets: secrets.transpose()?,
            accounts: allow.service_accounts.clone().map(Accounts::new),
            metrics: Arc::clone(metrics),
        })
    }

    /// Adds what is known of the files that the settings name.
    pub(crate) fn check(allow: &Allow, section: &str, checked: &mut Checked) {
        if let Some(settings) = &allow.client_certificates {
            certificates::source(settings, section).check(checked);
        }
        if let Some(path) = &allow.bearer_file {
            secrets::source(path, section).check(checked);
        }
    }

    async fn judge(&self, headers: &HeaderMap, peer: &Peer) -> Result<Judged, Denied> {
        let certificate = self.certificates.as_ref();
        let certificate = certificate.map_or(Shown::Nothing, |one| one.judge(peer));
        let mut denied = match certificate {
            Shown::Allowed(label) => return Ok(label),
            Shown::Denied(denied) => Some(denied),
            Shown::Nothing => None,
        };
        match self.token(headers).await {
            Shown::Allowed(label) => return Ok(label),
            // What is valid and not allowed says more than what is not valid.
            Shown::Denied(found) if found.label != Judged::Wrong || denied.is_none() => {
                denied = Some(found);
            }
            Shown::Denied(_) | Shown::Nothing => {}
        }
        Err(denied.unwrap_or_else(|| Denied {
            status: StatusCode::UNAUTHORIZED,
            label: Judged::Nothing,
            why: format!("say who you are: {}", self.ways()),
        }))
    }

    async fn token(&self, headers: &HeaderMap) -> Shown {
        if self.secrets.is_none() && self.accounts.is_none() {
            return Shown::Nothing;
        }
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Shown::Nothing;
        };
        let Some(token) = bearer(value).filter(|token| token.len() <= TOKEN_BYTES) else {
            let why = "`Authorization` is not `Bearer` and one token of at most 16 KiB".to_owned();
            return Shown::Denied(Denied::wrong(why));
        };
        let is_secret = |secrets: &Newest<Secrets>| secrets.borrow().have(token.as_bytes());
        if self.secrets.as_ref().is_some_and(is_secret) {
            return Shown::Allowed(Judged::Bearer);
        }
        match &self.accounts {
            Some(accounts) if accounts::is_token(token) => accounts.judge(token).await,
            _ => Shown::Denied(Denied::wrong(format!(
                "your token is not known here; {}",
                self.ways()
            ))),
        }
    }

    /// Lists what a caller may show.
    fn ways(&self) -> String {
        let ways = [
            (
                self.certificates.is_some(),
                "a client certificate with an allowed name",
            ),
            (
                self.secrets.is_some(),
                "`Authorization: Bearer` with a secret of `bearer_file`",
            ),
            (
                self.accounts.is_some(),
                "`Authorization: Bearer` with a token of an allowed service account",
            ),
        ];
        let ways = ways.iter().filter(|(is_set, _)| *is_set);
        let ways: Vec<&str> = ways.map(|(_, way)| *way).collect();
        format!("show {}", ways.join(", or "))
    }
}

/// Returns the token of `Authorization: Bearer`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    let is_one = !token.is_empty() && !token.contains(' ');
    (scheme.eq_ignore_ascii_case("bearer") && is_one).then_some(token)
}

/// Answers for the routes behind it where the caller is not allowed. The body of a request is not
/// read then.
pub(super) async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Arc<Peer>>().cloned();
    let peer = peer.unwrap_or_default();
    match gate.judge(request.headers(), &peer).await {
        Ok(label) => {
            gate.metrics.callers.count(label);
            next.run(request).await
        }
        Err(denied) => {
            gate.metrics.callers.count(denied.label);
            let status = denied.status;
            let mut response = Refused(status, denied.why).into_response();
            if status == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}
