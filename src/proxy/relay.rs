//! Passes a message's body from the filter to the other side. A task ([`pump`]) feeds it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use trimtab_wasmhost::{HeaderMap, Part};

use super::messages::{from_filter, to_filter};
use super::pipe::{Passed, Pipe};

/// Most parts between the filter and the other side. With it a slow reader slows the writer.
pub(super) const DEPTH: usize = 4;

/// The body that the HTTP library sends.
#[derive(Debug)]
pub(super) struct Relay {
    /// Source of the parts; `None` if nothing more comes.
    parts: Option<mpsc::Receiver<Part>>,
}

/// The sender went away in the middle of the body. The connection is then cut, so that the receiver
/// does not take this for the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side went away in the middle of the body")
    }
}

impl std::error::Error for Cut {}

impl Relay {
    /// Returns a body with trailers from `parts`. The last part is marked as such.
    pub(super) const fn new(parts: mpsc::Receiver<Part>) -> Self {
        Self { parts: Some(parts) }
    }

    /// Returns an empty body.
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

/// Sends a message through the filter, part by part, and sends the filter's output to `to`.
///
/// Returns whether the message was passed on to its end.
///
/// - `pipe`: the direction of the request.
/// - `head`: headers of the message. `None` if the filter or the proxy makes the message, which
///   then only has to be passed on.
/// - `body`: the rest of the message; `None` if there is none.
/// - `to`: receiver of the parts that the filter passes on.
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

/// Returns the body's next part, and `None` if the body broke off. Cancelling loses nothing.
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
