//! Servers that do not speak plain HTTP/1.1.

use super::failure::Failure;
use super::tls;
use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a client begins that knows of HTTP/2: the preface, and a frame of settings without any.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A frame's head, and the kind with which a server begins.
const HEAD_BYTES: usize = 9;
const SETTINGS: u8 = 4;

/// What a server speaks whose answer to plain HTTP/1.1 was `failure`, as the failure that says so; absent: that, or it is not known.
pub(super) async fn other(uri: &Uri, failure: &Failure) -> Option<Failure> {
    if uri.scheme_str() != Some("http") {
        return None;
    }
    // A server of TLS closes, or answers by bytes that are none, or by 400; one of HTTP/2 closes, or answers with frames.
    let is_broken = matches!(failure, Failure::Broken(_) | Failure::NoHttp(_));
    let is_refused = matches!(failure, Failure::Connect(_) | Failure::Status(400));
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(80);
    let tls = async { (is_broken || is_refused) && tls::is_spoken(host, port).await };
    let http2 = async { is_broken && is_http2_spoken(host, port).await };
    tokio::select! {
        true = tls => Some(Failure::NeedsTls),
        true = http2 => Some(Failure::Http2Only),
        else => None,
    }
}

/// Whether a server begins as one of HTTP/2 does: a server that speaks HTTP/1.1 too would not have broken off.
async fn is_http2_spoken(host: &str, port: u16) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(BEGINNING).await.ok()?;
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await.ok()?;
        Some(head)
    };
    // Length, kind, flags, and the stream, which is that of the connection.
    matches!(answer.await, Some([0, _, _, SETTINGS, _, 0, 0, 0, 0]))
}
