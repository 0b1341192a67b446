//! Who belongs to a pool.
//!
//! Comes in: a file, a DNS name, what a Kubernetes cluster declares, or a list. Goes out: [`Targets`] on a watch channel, whole lists,
//! newest last. Never: a list that shrinks because the source could not be read; the last good one stays and the error is told.

mod dns;
pub(crate) mod file;
mod form;
pub mod kubernetes;
mod source;
pub(crate) mod text;

pub use dns::{Family, Name};
pub use file::EndpointFile;
pub use source::Discovery;

use crate::metrics::PoolMetrics;
use crate::scrape::page::Engine;
use hyper::Uri;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use trimtab_estimate::EndpointSpec;
use trimtab_settings::Problems;

/// One endpoint and where its page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What the table says of it.
    pub spec: EndpointSpec,
    /// Where its metrics page is.
    pub metrics: MetricsAt,
    /// Its engine, where it differs from the pool's.
    pub engine: Option<&'static Engine>,
    /// What it is, where its address may be given to another later: the UID of a pod. Absent: the address is all that is known.
    pub id: Option<String>,
}

/// Where a metrics page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAt {
    /// At this address, with the pool's scheme and path.
    Address(SocketAddr),
    /// Here, whatever the pool's scheme and path.
    Url(Uri),
}

impl MetricsAt {
    /// Whether the endpoint at `address` serves it itself.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        let own = match self {
            Self::Address(own) => Some(*own),
            Self::Url(url) => socket_of(url),
        };
        own.is_some_and(|own| address.parse() == Ok(own))
    }
}

/// Where a URL leads; absent: it has the name of a host.
fn socket_of(url: &Uri) -> Option<SocketAddr> {
    let ip = url.host()?.trim_matches(['[', ']']).parse().ok()?;
    let is_tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    Some(SocketAddr::new(ip, port))
}

impl fmt::Display for MetricsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// What discovery knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// The last list that could be read; absent: none yet.
    pub listed: Option<Arc<Vec<Target>>>,
    /// Why the newest attempt failed.
    pub error: Option<String>,
}

impl Targets {
    /// A new list, or the old one where there is none; and why it may be old.
    fn followed_by(&self, listed: Option<Vec<Target>>, error: Option<String>) -> Self {
        Self {
            listed: listed.map(Arc::new).or_else(|| self.listed.clone()),
            error,
        }
    }
}

/// Every problem of a list of endpoints by itself, as a file for `discovery.file` holds it. `None`: the document is nothing that lists
/// endpoints, neither in our form nor in another that is known.
#[must_use]
pub fn check_list(document: &serde_json::Value) -> Option<Result<(), Problems>> {
    let is_one = document.get("endpoints").is_some()
        || form::is_bare(document)
        || document.is_array() && form::foreign(document).is_some();
    is_one.then(|| file::document(document).map(drop))
}

/// The same of a file with that text: as a whole, for a list is the one document of its file.
///
/// # Errors
/// Every problem of it.
pub fn check_list_file(text: &str) -> Result<(), Problems> {
    file::parse(text).map(drop)
}

/// Follows a source until the receivers are gone.
pub(crate) async fn run(source: Discovery, out: watch::Sender<Targets>, metrics: Arc<PoolMetrics>) {
    match source {
        Discovery::Static(list) => {
            publish(&out, Ok(list), &metrics);
            out.closed().await;
        }
        Discovery::File(file) => file::follow(&file, &out, &metrics).await,
        Discovery::Dns(name) => dns::follow(&name, &out, &metrics).await,
        Discovery::Kubernetes(settings) => kubernetes::follow(&settings, &out, &metrics).await,
    }
}

/// Tells the receivers when something changed, and the log when the outcome did.
fn publish(
    out: &watch::Sender<Targets>,
    outcome: Result<Vec<Target>, String>,
    metrics: &PoolMetrics,
) {
    let error = outcome.as_ref().err().cloned();
    publish_with(out, outcome.ok(), error, metrics);
}

/// The same for a list that may be old in part.
fn publish_with(
    out: &watch::Sender<Targets>,
    listed: Option<Vec<Target>>,
    error: Option<String>,
    metrics: &PoolMetrics,
) {
    if error.is_some() {
        metrics.discovery_errors.add(1);
    }
    out.send_if_modified(|now| {
        let next = now.followed_by(listed, error);
        if next == *now {
            return false;
        }
        match &next.error {
            Some(error) if now.error.as_ref() != Some(error) => {
                tracing::warn!(
                    pool = metrics.pool,
                    error,
                    "endpoints could not be listed, keeping those known"
                );
            }
            None => {
                let count = next.listed.as_ref().map_or(0, |list| list.len());
                tracing::info!(pool = metrics.pool, endpoints = count, "endpoints listed");
            }
            Some(_) => {}
        }
        *now = next;
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_endpoints_own_however_its_address_is_written() {
        let is_at = |url: &str, address: &str| MetricsAt::Url(url.parse().unwrap()).is_at(address);
        for (url, address) in [
            ("http://10.0.0.1:8000/metrics", "10.0.0.1:8000"),
            ("https://10.0.0.1/metrics", "10.0.0.1:443"),
            ("http://10.0.0.1/metrics", "10.0.0.1:80"),
            ("http://[2001:DB8:0::1]:8000/metrics", "[2001:db8::1]:8000"),
        ] {
            assert!(is_at(url, address), "{url}");
        }
        assert!(!is_at("http://10.0.0.1:9090/metrics", "10.0.0.1:8000"));
        assert!(!is_at("https://10.0.0.1/metrics", "10.0.0.1:80"));
        assert!(!is_at("http://vllm.example:8000/metrics", "10.0.0.1:8000"));
        let address = MetricsAt::Address(SocketAddr::from(([10, 0, 0, 1], 8000)));
        assert!(address.is_at("10.0.0.1:8000") && !address.is_at("10.0.0.1:8001"));
    }
}
