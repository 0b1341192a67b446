//! One HTTP exchange as Envoy's filter manager holds it for one Wasm filter.
//!
//! A [`Half`] is one direction. It decides what the guest can see (which map, which bytes of the body), what is held
//! back, and what is passed on; it knows nothing of the guest. The rules are Envoy's:
//!
//! - After `Continue` from the headers callback the header map is gone for the filter.
//! - `Pause` from the headers callback stops everything, the body callback included, unless the plugin has
//!   `allow_on_headers_stop_iteration`; then the body goes on to the filter and headers follow with the first body
//!   callback that continues.
//! - While the body is held by 1, a body callback sees all of it; otherwise, also when it is held by 2, only the chunk that came.
//! - A body held by 1 beyond the buffer limit is a 413; a body held by 2, or held back by stopped headers, is not (the client is made
//!   to wait).

use std::collections::BTreeMap;

use crate::abi::Direction;
use crate::headers::HeaderMap;

/// Something that leaves the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Part of a message goes on in its direction.
    Forward(Direction, Part),
    /// The proxy answers by itself; the request goes no further and the answer follows as `Forward(Response, ..)`.
    LocalReply,
    /// The stream is cut.
    Reset,
}

/// Part of a message. `end`: nothing follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Headers.
    Headers(HeaderMap, bool),
    /// Bytes of the body.
    Body(Vec<u8>, bool),
    /// Trailers; always the end.
    Trailers(HeaderMap),
}

/// What a callback's result means for the half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    /// Headers: stop headers only.
    StopHeaders,
    /// Headers: stop everything.
    StopAll,
    /// Body: keep it, 413 beyond the limit.
    HoldBody,
    /// Body: keep it, make the sender wait beyond the limit.
    HoldBodyAndWait,
    /// Body: throw this chunk away.
    DropBody,
}

/// What is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Hold {
    #[default]
    Nothing,
    Headers,
    All,
    Body,
    /// The body, but without showing again what is held.
    BodyUnseen,
}

/// Which body bytes a buffer call sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum View {
    #[default]
    Nothing,
    Chunk,
    Held,
}

/// With what the sender ended the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    NotYet,
    Headers,
    Body,
    Trailers,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) headers_visible: bool,
    pub(crate) trailers_visible: bool,
    /// The headers callback has run (or was passed over).
    pub(crate) begun: bool,
    end: End,
    forwarded: bool,
    hold: Hold,
    view: View,
    chunk: Vec<u8>,
    held: Vec<u8>,
}

impl Half {
    /// Before the headers callback.
    pub(crate) fn headers(&mut self, headers: HeaderMap, end: bool) {
        self.headers = headers;
        self.begun = true;
        self.headers_visible = true;
        if end {
            self.end = End::Headers;
        }
    }

    /// After the headers callback.
    pub(crate) fn after_headers(&mut self, verdict: Verdict, out: &mut Vec<Part>) {
        match verdict {
            Verdict::Continue => {
                self.headers_visible = false;
                self.forward_headers(out);
            }
            Verdict::StopHeaders => self.hold = Hold::Headers,
            _ => self.hold = Hold::All,
        }
    }

    /// Before a body callback; the size that the callback is told, or `None` when there is to be no callback.
    pub(crate) fn body(&mut self, chunk: Vec<u8>, end: bool) -> Option<usize> {
        if end {
            self.end = End::Body;
        }
        match self.hold {
            Hold::All => {
                self.held.extend_from_slice(&chunk);
                return None;
            }
            Hold::Body => {
                self.held.extend_from_slice(&chunk);
                self.view = View::Held;
            }
            Hold::Nothing | Hold::Headers | Hold::BodyUnseen => {
                self.chunk = chunk;
                self.view = View::Chunk;
            }
        }
        self.visible_body().map(<[u8]>::len)
    }

    /// Whether no more is held for the filter to see again than `limit` allows.
    pub(crate) fn is_within(&self, limit: usize) -> bool {
        self.hold != Hold::Body || self.held.len() <= limit
    }

    /// After a body callback.
    pub(crate) fn after_body(&mut self, verdict: Verdict, out: &mut Vec<Part>) {
        let chunk = std::mem::take(&mut self.chunk);
        match verdict {
            Verdict::Continue => {
                if self.held.is_empty() {
                    self.held = chunk;
                } else {
                    self.held.extend_from_slice(&chunk);
                }
                self.forward_headers(out);
                self.release_body(out);
            }
            Verdict::DropBody => {
                self.hold = Hold::Body;
                self.view = View::Held;
            }
            Verdict::HoldBodyAndWait => {
                self.held.extend_from_slice(&chunk);
                self.hold = Hold::BodyUnseen;
                self.view = View::Nothing;
            }
            _ => {
                self.held.extend_from_slice(&chunk);
                self.hold = Hold::Body;
                self.view = View::Held;
            }
        }
    }

    /// Before a trailers callback; `false` when there is to be no callback.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) -> bool {
        self.trailers = trailers;
        self.end = End::Trailers;
        self.trailers_visible = self.hold != Hold::All;
        self.trailers_visible
    }

    /// After a trailers callback.
    pub(crate) fn after_trailers(&mut self, verdict: Verdict, out: &mut Vec<Part>) {
        if verdict == Verdict::Continue {
            self.resume(out);
        }
    }

    /// `proxy_continue_stream`: what was held goes on, except when everything had been stopped: then only the
    /// headers do, and what [`Self::take_stopped`] returns has to go through its callbacks first.
    pub(crate) fn resume(&mut self, out: &mut Vec<Part>) {
        let all = std::mem::take(&mut self.hold) == Hold::All;
        self.hide();
        self.forward_headers(out);
        if !all {
            self.release_body(out);
            if self.end == End::Trailers {
                out.push(Part::Trailers(std::mem::take(&mut self.trailers)));
            }
        }
    }

    /// What arrived while everything was stopped: body with its end mark, and trailers.
    pub(crate) fn take_stopped(&mut self) -> (Option<(Vec<u8>, bool)>, Option<HeaderMap>) {
        let body = std::mem::take(&mut self.held);
        let end = self.end == End::Body;
        let trailers = (self.end == End::Trailers).then(|| std::mem::take(&mut self.trailers));
        ((end || !body.is_empty()).then_some((body, end)), trailers)
    }

    /// Whether the headers callback stopped everything, and nothing has resumed it.
    pub(crate) fn stopped(&self) -> bool {
        self.hold == Hold::All
    }

    /// `proxy_continue_stream` takes the maps and the body from the filter's sight.
    pub(crate) fn hide(&mut self) {
        self.headers_visible = false;
        self.trailers_visible = false;
        self.view = View::Nothing;
    }

    /// Forgets what is held; a local reply took its place.
    pub(crate) fn discard(&mut self) {
        self.hide();
        self.hold = Hold::Nothing;
        self.held = Vec::new();
        self.chunk = Vec::new();
        self.end = End::Headers;
        self.forwarded = true;
    }

    /// Body bytes as a buffer call sees them; `None` outside of the body's phase.
    pub(crate) fn visible_body(&self) -> Option<&[u8]> {
        match self.view {
            View::Nothing => None,
            View::Chunk => Some(&self.chunk),
            View::Held => Some(&self.held),
        }
    }

    /// The same, to be changed.
    pub(crate) fn visible_body_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self.view {
            View::Nothing => None,
            View::Chunk => Some(&mut self.chunk),
            View::Held => Some(&mut self.held),
        }
    }

    /// Whether headers have gone on.
    pub(crate) const fn forwarded(&self) -> bool {
        self.forwarded
    }

    /// Whether the sender has ended the message.
    pub(crate) fn ended(&self) -> bool {
        self.end != End::NotYet
    }

    fn release_body(&mut self, out: &mut Vec<Part>) {
        self.hold = Hold::Nothing;
        self.view = View::Nothing;
        let held = std::mem::take(&mut self.held);
        let end = self.end == End::Body;
        if end || !held.is_empty() {
            out.push(Part::Body(held, end));
        }
    }

    fn forward_headers(&mut self, out: &mut Vec<Part>) {
        if !self.forwarded {
            self.forwarded = true;
            out.push(Part::Headers(
                self.headers.clone(),
                self.end == End::Headers,
            ));
        }
    }
}

/// A response that the guest makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalReply {
    pub(crate) status: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl LocalReply {
    /// A status and nothing else.
    pub(crate) const fn bare(status: u32) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }
}

/// Both directions and what belongs to the whole exchange.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// Set by the proxy (`upstream.address` ...), path parts separated by NUL.
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Set by the guest.
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The guest knows the context.
    pub(crate) created: bool,
    /// `proxy_on_log` is running: finished maps can be read again.
    pub(crate) logging: bool,
    pub(crate) replied: bool,
}

impl Stream {
    pub(crate) const fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }
}
