//! One request, and the ways to send it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::SAY;
use crate::support::client::{Error, Response, parse, request};

/// How a body is sent.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// In one piece, with its length.
    Whole,
    /// In pieces of these sizes and a last one, in chunked encoding.
    Pieces(Vec<usize>),
    /// Over HTTP/2; in one piece if there are no sizes.
    Http2(Vec<usize>),
    /// Only after the proxy answers 100.
    Expecting,
}

/// A request and its way.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    way: Way,
    /// Time between two pieces.
    pub(crate) pause: Duration,
}

impl Asked {
    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.into().into(),
            ..Self::bare(Method::POST, path)
        }
    }

    pub(crate) fn bare(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            way: Way::Whole,
            pause: Duration::from_millis(1),
        }
    }

    /// Adds a header. Replaces the content type, because a request has only one.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .retain(|(own, _)| *own != name || name != "content-type");
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Asks an odd server for this status. Other servers choose their own.
    pub(crate) fn say(self, status: u16) -> Self {
        self.with(SAY, &status.to_string())
    }

    /// Whether the answer has a body.
    pub(crate) fn wants_body(&self) -> bool {
        self.method != Method::HEAD
    }

    /// Sends the request. If `directly`, sends it at once and over HTTP/1.1.
    pub(crate) async fn send(&self, to: SocketAddr, directly: bool) -> Result<Response, Error> {
        match &self.way {
            Way::Expecting if !directly => self.expecting(to).await,
            Way::Pieces(sizes) if !directly => self.over(to, Version::HTTP_11, Some(sizes)).await,
            Way::Http2(sizes) if !directly => {
                let sizes = Some(sizes).filter(|sizes| !sizes.is_empty());
                self.over(to, Version::HTTP_2, sizes).await
            }
            _ => self.over(to, Version::HTTP_11, None).await,
        }
    }

    async fn over(
        &self,
        to: SocketAddr,
        version: Version,
        sizes: Option<&Vec<usize>>,
    ) -> Result<Response, Error> {
        let mut builder = Request::builder().method(&self.method).version(version);
        builder = if version == Version::HTTP_2 {
            builder.uri(format!("http://models.example{}", self.path))
        } else {
            builder.uri(&self.path).header("host", "models.example")
        };
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        let body = match sizes {
            None => Full::new(self.body.clone())
                .map_err(|never| match never {})
                .boxed_unsync(),
            Some(sizes) => {
                let pause = self.pause;
                let pieces = cut(self.body.clone(), sizes).into_iter();
                let frames = stream::unfold(pieces, move |mut rest| async move {
                    let piece = rest.next()?;
                    tokio::time::sleep(pause).await;
                    Some((Ok::<_, Error>(Frame::data(piece)), rest))
                });
                StreamBody::new(frames).boxed_unsync()
            }
        };
        request(to, builder.body(body)?).await
    }

    /// Sends the head, waits for 100, and then sends the body.
    async fn expecting(&self, to: SocketAddr) -> Result<Response, Error> {
        let (path, length) = (&self.path, self.body.len());
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: models.example\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n"
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await?;
        if &go_on != b"HTTP/1.1 100 Continue\r\n\r\n" {
            return Err(format!("not asked to go on: {go_on:?}").into());
        }
        stream.write_all(&self.body).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let mut answer = parse(&answer);
        if answer.header("transfer-encoding") == "chunked" {
            answer.body = joined(&answer.body).ok_or("the answer is cut")?;
        }
        Ok(answer)
    }
}

fn cut(mut body: Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    for size in sizes {
        if *size < body.len() {
            pieces.push(body.split_to(*size));
        }
    }
    pieces.push(body);
    pieces
}

/// Joins a body that came in chunks; absent if its end is missing.
fn joined(chunks: &[u8]) -> Option<Bytes> {
    let (mut text, mut whole) = (std::str::from_utf8(chunks).ok()?, String::new());
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        match usize::from_str_radix(size, 16).ok()? {
            0 => return Some(whole.into()),
            size => {
                whole += rest.get(..size)?;
                text = rest.get(size + 2..)?;
            }
        }
    }
}
