//! Sends one GET to an aggregator.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Timeout. A healthy aggregator answers at once.
const LIMIT: Duration = Duration::from_secs(10);
/// Largest body that is read; larger than any table.
const BODY_MAX_BYTES: usize = 64 << 20;

/// Returns the body of `url`, requested with this `Accept` header.
///
/// # Errors
/// `url` is no URL or not `http://`, there is no answer within 10 s, the status is no success (the
/// error then quotes the body), or the body is too large.
pub(crate) async fn get(url: &str, accept: &str) -> Result<Bytes> {
    let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
    ensure!(
        uri.scheme_str() == Some("http"),
        "{url}: only http:// is spoken here; use a port-forward or a local proxy"
    );
    let has_port = uri.port().is_some();
    let request = Request::get(uri)
        .header(header::ACCEPT, accept)
        .body(Empty::<Bytes>::new())?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = tokio::time::timeout(LIMIT, async {
        let response = client
            .request(request)
            .await
            .with_context(|| match has_port {
                true => format!("{url}: no answer; is the aggregator running there?"),
                false => format!("{url}: no answer at port 80; an aggregator's port is 9190 unless `listen` says otherwise"),
            })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX_BYTES)
            .collect()
            .await;
        let body = body
            .map_err(|error| anyhow::anyhow!("{url}: {error}"))?
            .to_bytes();
        anyhow::Ok((status, body))
    });
    let (status, body) = answer
        .await
        .with_context(|| format!("{url}: no answer within {LIMIT:?}"))??;
    if !status.is_success() {
        let text: String = String::from_utf8_lossy(&body).chars().take(400).collect();
        bail!("{url} answered {status}: {}", text.trim());
    }
    Ok(body)
}
