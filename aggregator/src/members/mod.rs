//! Finds the endpoints of a pool.
//!
//! Input: a file, a DNS name, what a Kubernetes cluster declares, or a list. Output: [`Targets`] on
//! a watch channel, always as a whole list. If the source cannot be read, the last good list stays
//! and the error is published with it.

mod dns;
pub(crate) mod file;
mod form;
pub mod kubernetes;
mod source;
pub(crate) mod text;

pub use dns::{Family, Name};
pub use file::EndpointFile;
pub(crate) use kubernetes::Clusters;
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

/// An endpoint, and where its metrics page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What the table says of the endpoint.
    pub spec: EndpointSpec,
    /// Where its metrics page is.
    pub metrics: MetricsAt,
    /// Its engine. Absent: the pool's.
    pub engine: Option<&'static Engine>,
    /// The identity of the endpoint, since its address may be given to another later: the UID of a
    /// pod. Absent: only the address is known.
    pub id: Option<String>,
}

/// Where a metrics page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAt {
    /// At this address, with the pool's scheme and path.
    Address(SocketAddr),
    /// At this URL. The pool's scheme and path do not apply.
    Url(Uri),
}

impl MetricsAt {
    /// Whether the endpoint at `address` serves the page itself.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        let own = match self {
            Self::Address(own) => Some(*own),
            Self::Url(url) => socket_of(url),
        };
        own.is_some_and(|own| address.parse() == Ok(own))
    }
}

/// Returns the address and port of a URL. `None`: its host is a name.
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

/// What discovery has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// The last list that could be read. Absent: there is none yet.
    pub listed: Option<Arc<Vec<Target>>>,
    /// Why the newest attempt failed. Absent: it did not.
    pub error: Option<String>,
    /// What is not known of the endpoints that could be, and why. It keeps no pool from working.
    pub missing: Vec<String>,
}

/// The outcome of an attempt to list endpoints.
#[derive(Debug, Default)]
struct Listing {
    /// Absent: the list before stays.
    listed: Option<Vec<Target>>,
    /// Why the list may be old. Absent: it is not.
    error: Option<String>,
    /// See [`Targets::missing`].
    missing: Vec<String>,
}

impl Targets {
    /// Takes over a new list, or keeps the old one if there is none.
    fn followed_by(&self, now: Listing) -> Self {
        Self {
            listed: now.listed.map(Arc::new).or_else(|| self.listed.clone()),
            error: now.error,
            missing: now.missing,
        }
    }
}

/// Checks a list of endpoints by itself, as a file for `discovery.file` holds it, and returns all
/// its problems. `None`: the document is not a list of endpoints, neither in our form nor in a
/// known one of other programs.
#[must_use]
pub fn check_list(document: &serde_json::Value) -> Option<Result<(), Problems>> {
    let is_one = document.get("endpoints").is_some()
        || form::is_bare(document)
        || document.is_array() && form::foreign(document).is_some();
    is_one.then(|| file::document(document).map(drop))
}

/// Checks the text of a file with such a list. The list must be the only document of the file.
///
/// # Errors
/// Every problem of the file.
pub fn check_list_file(text: &str) -> Result<(), Problems> {
    file::parse(text).map(drop)
}

/// Follows a source until the receivers are gone. `clusters`: copies that pools share.
pub(crate) async fn run(
    source: Discovery,
    clusters: Clusters,
    out: watch::Sender<Targets>,
    metrics: Arc<PoolMetrics>,
) {
    match source {
        Discovery::Static(list) => {
            publish(&out, Ok(list), &metrics);
            out.closed().await;
        }
        Discovery::File(file) => file::follow(&file, &out, &metrics).await,
        Discovery::Dns(name) => dns::follow(&name, &out, &metrics).await,
        Discovery::Kubernetes(settings) => {
            kubernetes::follow(&settings, &clusters, &out, &metrics).await;
        }
    }
}

/// Notifies the receivers if the list or the error has changed, and logs that.
fn publish(
    out: &watch::Sender<Targets>,
    outcome: Result<Vec<Target>, String>,
    metrics: &PoolMetrics,
) {
    let error = outcome.as_ref().err().cloned();
    let listing = Listing {
        listed: outcome.ok(),
        error,
        ..Listing::default()
    };
    publish_with(out, listing, metrics);
}

/// As `publish`, for a list of which a part may be old or missing.
fn publish_with(out: &watch::Sender<Targets>, listing: Listing, metrics: &PoolMetrics) {
    if listing.error.is_some() {
        metrics.discovery_errors.inc();
    }
    out.send_if_modified(|now| {
        let next = now.followed_by(listing);
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
