//! Sends the filter's call-outs.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use trimtab_wasmhost::{CallAnswer, HeaderMap, HttpCall};

use super::args::Cluster;
use super::messages::{from_filter, to_filter};

/// Largest body of an answer. A call with a larger one fails.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Timeout of calls that ask for none.
const LONGEST: Duration = Duration::from_secs(3600);

/// Sends call-outs over kept connections.
#[derive(Debug)]
pub(super) struct Callouts {
    clusters: BTreeMap<String, String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Callouts {
    pub(super) fn new(clusters: &[Cluster]) -> Self {
        let clusters = clusters
            .iter()
            .map(|cluster| (cluster.name.clone(), cluster.authority.clone()));
        Self {
            clusters: clusters.collect(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub(super) fn authority(&self, cluster: &str) -> Option<String> {
        self.clusters.get(cluster).cloned()
    }

    /// Returns the answer. If the call fails, logs a line and returns `None`.
    pub(super) async fn send(&self, authority: &str, call: HttpCall) -> Option<CallAnswer> {
        let timeout_ms = call.timeout_ms;
        let timeout = match timeout_ms {
            0 => LONGEST,
            ms => Duration::from_millis(u64::from(ms)),
        };
        let cluster = call.cluster.clone();
        match tokio::time::timeout(timeout, self.exchange(authority, call)).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::warn!(%cluster, authority, "call-out failed: {error:#}");
                None
            }
            Err(_) => {
                tracing::warn!(%cluster, authority, timeout_ms, "call-out timed out");
                None
            }
        }
    }

    async fn exchange(&self, authority: &str, call: HttpCall) -> anyhow::Result<CallAnswer> {
        let path = call.headers.text(":path").unwrap_or("/");
        let uri = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query(path)
            .build()?;
        let mut request = Request::builder()
            .method(call.headers.text(":method").unwrap_or("POST"))
            .uri(uri)
            .body(Full::new(Bytes::from(call.body)))?;
        *request.headers_mut() = from_filter(&call.headers);
        if let Some(host) = call.headers.text(":authority") {
            request
                .headers_mut()
                .insert(hyper::header::HOST, host.parse()?);
        }
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        let mut headers = to_filter(&head.headers);
        headers.replace(":status", head.status.as_str());
        Ok(CallAnswer {
            headers,
            body: body.to_bytes().to_vec(),
            trailers: HeaderMap::new(),
        })
    }
}
