//! Finds out what a server speaks that does not speak plain HTTP/1.1.

use super::failure::Failure;
use super::tls;
use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The first bytes of an HTTP/2 client: the preface, and an empty SETTINGS frame.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The length of a frame's head.
const HEAD_BYTES: usize = 9;
/// The kind of the frame with which a server begins.
const SETTINGS: u8 = 4;

/// Finds out by probes what a server speaks that answered plain HTTP/1.1 with `failure`. Returns a
/// failure that says so. `None`: the server speaks plain HTTP/1.1, or it is not known.
pub(super) async fn other(uri: &Uri, failure: &Failure) -> Option<Failure> {
    if uri.scheme_str() != Some("http") {
        return None;
    }
    // A TLS server closes, answers with bytes that are not HTTP, or with 400. An HTTP/2 server
    // closes, or answers with frames.
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

/// Whether the server begins as an HTTP/2 server does. A server that also speaks HTTP/1.1 would
/// have answered the first request.
async fn is_http2_spoken(host: &str, port: u16) -> bool {
    let answer = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(BEGINNING).await.ok()?;
        let mut head = [0; HEAD_BYTES];
        stream.read_exact(&mut head).await.ok()?;
        Some(head)
    };
    // Length, kind, flags, and stream 0, which is the connection.
    matches!(answer.await, Some([0, _, _, SETTINGS, _, 0, 0, 0, 0]))
}
