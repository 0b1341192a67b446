//! Sends one GET over a fresh connection, for admin pages.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Largest answer that is read. Envoy's whole statistics page takes about 100 KiB with a small
/// configuration.
const BODY_MAX_BYTES: usize = 16 << 20;

/// Returns status and body of `http://address/path`.
pub(super) async fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String)> {
    tokio::time::timeout(limit, get_unbounded(address, path))
        .await
        .with_context(|| format!("http://{address}{path}: no answer within {limit:?}"))?
}

async fn get_unbounded(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The task ends when `sender` is dropped. If the connection fails, the request fails too.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", address.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_MAX_BYTES)
        .collect()
        .await;
    let body = body
        .map_err(|error| anyhow::anyhow!("http://{address}{path}: {error}"))?
        .to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Escapes a value of a URL's query.
pub(super) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_survives_the_query() {
        assert_eq!(escape("^a\\.b|c$"), "%5Ea%5C.b%7Cc%24");
    }
}
