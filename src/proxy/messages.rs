//! What passes between a request's task and the worker that runs its VM.
//!
//! A task sends one [`Event`] at a time for each direction and waits for [`Out::Done`], so a worker's queue holds at most two
//! parts for each open request.

use std::sync::mpsc::Sender;

use tokio::sync::mpsc::UnboundedSender;
use trimtab_wasmhost::{CallAnswer, Direction, HeaderMap, Part};

/// Number of a request, unique in the proxy.
pub(super) type Key = u64;

/// To a worker.
#[derive(Debug)]
pub(super) enum Event {
    /// A request begins.
    Open { key: Key, outs: Outs },
    /// Something that the filter may ask for as a property of the stream.
    Attribute {
        key: Key,
        path: &'static str,
        value: String,
    },
    /// Part of a message for the filter.
    Part {
        key: Key,
        direction: Direction,
        part: Part,
    },
    /// The proxy itself answers.
    LocalReply {
        key: Key,
        status: u16,
        body: Vec<u8>,
    },
    /// The request is over, however it went.
    Close { key: Key },
    /// A call-out of VM `vm` has been answered; `None`: it failed.
    CallDone {
        vm: u64,
        token: u32,
        answer: Option<CallAnswer>,
    },
    /// The proxy shuts down.
    Stop,
}

/// From a worker to one direction of a request.
#[derive(Debug)]
pub(super) enum Out {
    /// Goes on.
    Part(Part),
    /// The filter or the proxy answers in the upstream's place.
    LocalReply,
    /// The request is cut.
    Reset,
    /// The part that was sent last has been dealt with.
    Done,
}

/// Where a worker sends what comes out of a stream.
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

/// A worker as others see it.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub(super) events: Sender<Event>,
}

impl Mailbox {
    /// Nobody reads it: whoever waits for an answer sees its channel closed.
    pub(super) fn nobody() -> Self {
        Self {
            events: std::sync::mpsc::channel().0,
        }
    }

    /// A worker that is gone takes nothing; whoever waits for it sees its channel closed.
    pub(super) fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// A map of the HTTP library as the filter sees it.
pub(super) fn to_filter(headers: &hyper::HeaderMap) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

/// The filter's map without the pseudo-headers, for the HTTP library; what that does not take as a header is left out.
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
