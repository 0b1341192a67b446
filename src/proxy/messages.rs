//! The messages between a request's task and the worker that runs its VM.
//!
//! For each direction a task sends one [`Event`] with a part and waits for [`Out::Done`]. So a
//! worker's queue holds at most two parts for each open request.

use std::sync::mpsc::Sender;

use tokio::sync::mpsc::UnboundedSender;
use trimtab_wasmhost::{CallAnswer, Direction, HeaderMap, Part};

/// Number of a request, unique in the proxy.
pub(super) type Key = u64;

/// A message to a worker.
#[derive(Debug)]
pub(super) enum Event {
    /// A request begins.
    Open { key: Key, outs: Outs },
    /// A property of the stream that the filter may read.
    Attribute {
        key: Key,
        path: &'static str,
        value: String,
    },
    /// A part of a message, for the filter.
    Part {
        key: Key,
        direction: Direction,
        part: Part,
    },
    /// The proxy itself answers the request.
    LocalReply {
        key: Key,
        status: u16,
        body: Vec<u8>,
    },
    /// The request is over, however it ended.
    Close { key: Key },
    /// A call-out of VM `vm` has ended. `answer` is `None` if it failed.
    CallDone {
        vm: u64,
        token: u32,
        answer: Option<CallAnswer>,
    },
    /// The proxy shuts down.
    Stop,
}

/// A message from a worker to one direction of a request.
#[derive(Debug)]
pub(super) enum Out {
    /// A part that goes on to the other side.
    Part(Part),
    /// The filter or the proxy answers instead of the upstream.
    LocalReply,
    /// The request is reset.
    Reset,
    /// The filter has handled the part that was sent last.
    Done,
}

/// The two channels on which a worker sends the output of a stream.
#[derive(Debug)]
pub(super) struct Outs {
    pub(super) request: UnboundedSender<Out>,
    pub(super) response: UnboundedSender<Out>,
}

impl Outs {
    pub(super) fn to(&self, direction: Direction) -> &UnboundedSender<Out> {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }
}

/// The sending end of a worker's queue.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub(super) events: Sender<Event>,
}

impl Mailbox {
    /// Returns a mailbox without a worker. A task that waits for an answer sees its channel closed.
    pub(super) fn nobody() -> Self {
        Self {
            events: std::sync::mpsc::channel().0,
        }
    }

    /// Sends an event. If the worker is gone, the event is dropped; a task that waits for an answer
    /// sees its channel closed.
    pub(super) fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// Converts the HTTP library's headers to the filter's map.
pub(super) fn to_filter(headers: &hyper::HeaderMap) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// Converts the filter's map to the HTTP library's headers, without pseudo-headers. Drops names and
/// values that the library refuses.
pub(super) fn from_filter(map: &HeaderMap) -> hyper::HeaderMap {
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in map.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let name = hyper::header::HeaderName::from_bytes(name);
        let value = hyper::header::HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
