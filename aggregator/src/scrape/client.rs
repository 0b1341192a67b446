//! Connections to metrics pages, over plain HTTP or TLS. One per target is kept open between
//! scrapes.

use super::settings::{Scrape, Tls};
use super::tls;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between two readings of the certificate files. They are read again after a TLS
/// failure, because they may have been renewed.
const READ_AGAIN: Duration = Duration::from_secs(1);

type Plain = legacy::Client<HttpConnector, Empty<Bytes>>;
type Secure = legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The HTTP client for all targets of a pool. Clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    plain: Plain,
    settings: Arc<Tls>,
    /// Timeout of a connection attempt. Pages may take longer.
    connects_within: Duration,
    /// The TLS client and when it was made, at its first use.
    secure: Arc<Mutex<Option<(Instant, Secure)>>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Error {
    /// The server's certificate is refused, the server refuses ours, or it does not speak TLS.
    Tls(String),
    /// Our own files cannot be used.
    OwnTls(String),
    /// There is no connection.
    Connect(legacy::Error),
    /// The connection broke, or the answer is not HTTP/1.1.
    Broken(legacy::Error),
}

/// Makes the client for all targets of a pool.
pub(crate) fn client(settings: &Scrape) -> Client {
    Client {
        plain: kept(connector(settings.timeout)),
        settings: Arc::new(settings.tls.clone()),
        connects_within: settings.timeout,
        secure: Arc::default(),
    }
}

impl Client {
    /// Sends a request, over TLS if its address begins with https.
    pub(super) async fn request(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        let outcome = match request.uri().scheme_str() {
            Some("https") => self.secure().await.map_err(Error::OwnTls)?.request(request),
            _ => self.plain.request(request),
        };
        outcome.await.map_err(|error| {
            if let Some(reason) = tls::reason(&error, &self.settings) {
                self.forget();
                Error::Tls(reason)
            } else if error.is_connect() {
                Error::Connect(error)
            } else {
                Error::Broken(error)
            }
        })
    }

    async fn secure(&self) -> Result<Secure, String> {
        let kept = self
            .secure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, secure)) = kept {
            return Ok(secure);
        }
        let settings = Arc::clone(&self.settings);
        let within = self.connects_within;
        let made = tokio::task::spawn_blocking(move || secure(&settings, within)).await;
        let secure = made.map_err(|error| error.to_string())??;
        let mut kept = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        // Another target may have made one meanwhile.
        let (_, secure) = kept.get_or_insert_with(|| (Instant::now(), secure));
        Ok(secure.clone())
    }

    fn forget(&self) {
        let mut kept = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        if kept
            .as_ref()
            .is_some_and(|(made, _)| made.elapsed() >= READ_AGAIN)
        {
            *kept = None;
        }
    }
}

fn secure(settings: &Tls, connects_within: Duration) -> Result<Secure, String> {
    let config = tls::client_config(settings)?;
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only();
    if let Some(name) = &settings.server_name {
        let name = ServerName::try_from(name.clone()).map_err(|error| error.to_string())?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = connector(connects_within);
    connector.enforce_http(false);
    Ok(kept(builder.enable_http1().wrap_connector(connector)))
}

fn connector(within: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(within));
    connector.set_nodelay(true);
    connector
}

fn kept<C: Connect + Clone>(connector: C) -> legacy::Client<C, Empty<Bytes>> {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(Duration::from_secs(60))
        .build(connector)
}
