//! A message's body on its way from the filter to the other side, and the task that feeds it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use trimtab_wasmhost::{HeaderMap, Part};

use super::messages::{from_filter, to_filter};
use super::pipe::{Passed, Pipe};

/// Parts between the filter and the other side, at most; a slow reader slows the writer.
pub(super) const DEPTH: usize = 4;

/// The body that the HTTP library sends.
#[derive(Debug)]
pub(super) struct Relay {
    /// `None`: nothing (more) comes.
    parts: Option<mpsc::Receiver<Part>>,
}

/// The sender went away in the middle: the connection is cut, so that the other side does not take it for the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side went away in the middle of the body")
    }
}

impl std::error::Error for Cut {}

impl Relay {
    /// Body and trailers from `parts`; the last one says that it is.
    pub(super) const fn new(parts: mpsc::Receiver<Part>) -> Self {
        Self { parts: Some(parts) }
    }

    /// No body.
    pub(super) const fn empty() -> Self {
        Self { parts: None }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(parts) = &mut self.parts else {
            return Poll::Ready(None);
        };
        let part = std::task::ready!(parts.poll_recv(cx));
        let frame = match part {
            Some(Part::Body(bytes, end)) => {
                if end {
                    self.parts = None;
                }
                Frame::data(Bytes::from(bytes))
            }
            Some(Part::Trailers(trailers)) => {
                self.parts = None;
                Frame::trailers(from_filter(&trailers))
            }
            Some(Part::Headers(..)) | None => {
                self.parts = None;
                return Poll::Ready(Some(Err(Cut)));
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.parts.is_none() {
            SizeHint::with_exact(0)
        } else {
            SizeHint::new()
        }
    }
}

/// Sends a message through the filter, part by part, and what the filter lets through to `to`.
///
/// `head` `None`: the message is made by the filter or the proxy and only has to be passed on.
/// Gives whether it was passed on to its end.
pub(super) async fn pump(
    pipe: &mut Pipe,
    head: Option<HeaderMap>,
    mut body: Option<Incoming>,
    to: mpsc::Sender<Part>,
) -> bool {
    let mut busy = head.is_some();
    if let Some(head) = head {
        pipe.send(Part::Headers(head, body.is_none()));
    }
    loop {
        tokio::select! {
            passed = pipe.next() => match passed {
                Passed::Part(part) => {
                    let last = ends(&part);
                    if to.send(part).await.is_err() || last {
                        return last;
                    }
                }
                Passed::Done => busy = false,
                Passed::LocalReply => {}
                Passed::Reset => return false,
            },
            part = next_part(&mut body), if !busy && body.is_some() => {
                let Some(part) = part else { return false };
                if ends(&part) {
                    body = None;
                }
                busy = true;
                pipe.send(part);
            }
            () = to.closed() => return false,
        }
    }
}

const fn ends(part: &Part) -> bool {
    matches!(
        part,
        Part::Headers(_, true) | Part::Body(_, true) | Part::Trailers(_)
    )
}

/// The body's next part; `None`: it broke off. Cancelling loses nothing.
async fn next_part(body: &mut Option<Incoming>) -> Option<Part> {
    let body = body.as_mut()?;
    match body.frame().await {
        None => Some(Part::Body(Vec::new(), true)),
        Some(Ok(frame)) => Some(match frame.into_data() {
            Ok(data) => Part::Body(data.to_vec(), body.is_end_stream()),
            Err(frame) => Part::Trailers(
                frame
                    .into_trailers()
                    .map_or_else(|_| HeaderMap::new(), |map| to_filter(&map)),
            ),
        }),
        Some(Err(error)) => {
            tracing::debug!("body broke off: {error}");
            None
        }
    }
}
