//! One HTTP exchange, as Envoy's filter manager holds it for one Wasm filter.
//!
//! A [`Half`] is one direction. It decides what the guest can see (which map, which bytes of the
//! body), what is held back, and what is passed on. It does not call the guest. The rules are
//! Envoy's:
//!
//! - After `Continue` from the headers callback the filter cannot see the header map any more.
//! - `Pause` from the headers callback stops everything, including the body callback. With
//!   `allow_on_headers_stop_iteration` the filter still gets the body, and the headers follow with
//!   the first body callback that continues.
//! - While a body callback's answer 1 holds the body, the next one sees all of it. Otherwise, also
//!   after answer 2, it sees only the new chunk.
//! - A body that is held by 1 beyond the buffer limit is answered with 413, or 500 in a response. A
//!   body that is held by 2, or by stopped headers, is not. There the client has to wait.

use std::collections::BTreeMap;

use crate::abi::Direction;
use crate::headers::HeaderMap;

/// What the filter lets out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Part of a message goes on in its direction.
    Forward(Direction, Part),
    /// The proxy answers by itself. The request goes no further. The answer follows as
    /// `Forward(Response, ..)`.
    LocalReply,
    /// The stream is cut.
    Reset,
}

/// Part of a message. The flag says whether it is the last part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Headers.
    Headers(HeaderMap, bool),
    /// Bytes of the body.
    Body(Vec<u8>, bool),
    /// Trailers. They are always the last part.
    Trailers(HeaderMap),
}

/// What a callback's result means for its half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    /// Headers: stop only the headers.
    StopHeaders,
    /// Headers: stop everything.
    StopAll,
    /// Body: keep it, and refuse it beyond the limit.
    HoldBody,
    /// Body: keep it, and make the sender wait beyond the limit.
    HoldBodyAndWait,
    /// Body: drop this chunk.
    DropBody,
}

/// What a half holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Hold {
    #[default]
    Nothing,
    Headers,
    All,
    Body,
    /// The body. Callbacks do not see the held part again.
    BodyUnseen,
}

/// The body bytes that a buffer call sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum View {
    #[default]
    Nothing,
    Chunk,
    Held,
}

/// The part with which the sender ended the message.
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
    /// Whether the headers callback has run or was skipped.
    pub(crate) begun: bool,
    end: End,
    forwarded: bool,
    hold: Hold,
    view: View,
    chunk: Vec<u8>,
    held: Vec<u8>,
}

impl Half {
    /// Prepares the headers callback.
    pub(crate) fn headers(&mut self, headers: HeaderMap, end: bool) {
        self.headers = headers;
        self.begun = true;
        self.headers_visible = true;
        if end {
            self.end = End::Headers;
        }
    }

    /// Applies the result of the headers callback.
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

    /// Prepares a body callback. Returns the size for the callback, or `None` if there is no
    /// callback.
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

    /// Returns whether `limit` allows the body that is held for the filter to see again.
    pub(crate) fn is_within(&self, limit: usize) -> bool {
        self.hold != Hold::Body || self.held.len() <= limit
    }

    /// Applies the result of a body callback.
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

    /// Prepares a trailers callback. Returns `false` if there is no callback.
    pub(crate) fn trailers(&mut self, trailers: HeaderMap) -> bool {
        self.trailers = trailers;
        self.end = End::Trailers;
        self.trailers_visible = self.hold != Hold::All;
        self.trailers_visible
    }

    /// Applies the result of a trailers callback.
    pub(crate) fn after_trailers(&mut self, verdict: Verdict, out: &mut Vec<Part>) {
        if verdict == Verdict::Continue {
            self.resume(out);
        }
    }

    /// Resumes the half (`proxy_continue_stream`) and lets out what was held. If everything had
    /// been stopped, only the headers go out. The caller must then send what [`Self::take_stopped`]
    /// returns through its callbacks.
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

    /// Returns what arrived while everything was stopped: the body with its end mark, and the
    /// trailers.
    pub(crate) fn take_stopped(&mut self) -> (Option<(Vec<u8>, bool)>, Option<HeaderMap>) {
        let body = std::mem::take(&mut self.held);
        let end = self.end == End::Body;
        let trailers = (self.end == End::Trailers).then(|| std::mem::take(&mut self.trailers));
        ((end || !body.is_empty()).then_some((body, end)), trailers)
    }

    /// Returns whether the headers callback stopped everything, and nothing has resumed it.
    pub(crate) fn stopped(&self) -> bool {
        self.hold == Hold::All
    }

    /// Hides the maps and the body from the filter, as `proxy_continue_stream` does.
    pub(crate) fn hide(&mut self) {
        self.headers_visible = false;
        self.trailers_visible = false;
        self.view = View::Nothing;
    }

    /// Drops what is held, because a local reply replaces it.
    pub(crate) fn discard(&mut self) {
        self.hide();
        self.hold = Hold::Nothing;
        self.held = Vec::new();
        self.chunk = Vec::new();
        self.end = End::Headers;
        self.forwarded = true;
    }

    /// Returns the body bytes that a buffer call sees, or `None` outside of the body's phase.
    pub(crate) fn visible_body(&self) -> Option<&[u8]> {
        match self.view {
            View::Nothing => None,
            View::Chunk => Some(&self.chunk),
            View::Held => Some(&self.held),
        }
    }

    /// Returns the same bytes, to be changed.
    pub(crate) fn visible_body_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self.view {
            View::Nothing => None,
            View::Chunk => Some(&mut self.chunk),
            View::Held => Some(&mut self.held),
        }
    }

    /// Returns whether the headers have gone on.
    pub(crate) const fn forwarded(&self) -> bool {
        self.forwarded
    }

    /// Returns whether the sender has ended the message.
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

/// A response that the guest or the proxy makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalReply {
    pub(crate) status: u32,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl LocalReply {
    /// Makes a reply with only a status.
    pub(crate) const fn bare(status: u32) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }
}

/// Both directions, and the state of the whole exchange.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// Set by the proxy (`upstream.address` and so on). NUL separates the parts of a path.
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Set by the guest.
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether the guest knows the context.
    pub(crate) created: bool,
    /// Whether `proxy_on_log` is running. It may read finished maps again.
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
