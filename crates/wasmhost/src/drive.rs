//! Drives one exchange with few lines of code.

use crate::abi::{Action, Direction};
use crate::headers::HeaderMap;
use crate::stream::{Effect, Part};
use crate::vm::Vm;

impl Vm {
    /// Starts a `POST /v1/completions`. The guest gets nothing before the first body chunk or the
    /// end.
    pub fn request(&mut self) -> RequestBuilder<'_> {
        let headers = [
            (":method", "POST"),
            (":path", "/v1/completions"),
            (":scheme", "http"),
            (":authority", "models.example"),
            ("content-type", "application/json"),
        ];
        let stream = self.open();
        RequestBuilder {
            exchange: Exchange::new(stream),
            headers: headers.into_iter().collect(),
            sent: false,
            vm: self,
        }
    }
}

/// A request that is being built.
#[derive(Debug)]
pub struct RequestBuilder<'vm> {
    vm: &'vm mut Vm,
    exchange: Exchange,
    headers: HeaderMap,
    sent: bool,
}

impl RequestBuilder<'_> {
    /// Replaces a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.replace(name, value);
        self
    }

    /// Adds a header and keeps existing ones of the same name.
    #[must_use]
    pub fn another_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sets a property of the stream, for example `upstream.address`.
    #[must_use]
    pub fn attribute(self, path: &str, value: impl AsRef<[u8]>) -> Self {
        self.vm.set_attribute(self.exchange.stream, path, value);
        self
    }

    /// Sends the headers if they were not sent, then a chunk that is not the last.
    #[must_use]
    pub fn body_chunk(mut self, chunk: impl AsRef<[u8]>) -> Self {
        self.send_headers(false);
        self.exchange.body(self.vm, chunk, false);
        self
    }

    /// Sends the headers if they were not sent, then the last chunk.
    #[must_use]
    pub fn body(mut self, chunk: impl AsRef<[u8]>) -> Exchange {
        self.send_headers(false);
        self.exchange.body(self.vm, chunk, true);
        self.exchange
    }

    /// Ends the request: with the headers if there was no body, otherwise with an empty last chunk.
    #[must_use]
    pub fn end(mut self) -> Exchange {
        if self.sent {
            self.exchange.body(self.vm, b"", true);
        } else {
            self.send_headers(true);
        }
        self.exchange
    }

    /// Sends the headers if they were not sent, and leaves the request open.
    #[must_use]
    pub fn leave_open(mut self) -> Exchange {
        self.send_headers(false);
        self.exchange
    }

    fn send_headers(&mut self, end: bool) {
        if !std::mem::replace(&mut self.sent, true) {
            let headers = std::mem::take(&mut self.headers);
            let action = self
                .vm
                .headers(self.exchange.stream, Direction::Request, headers, end);
            self.exchange.acted(self.vm, action);
        }
    }
}

/// A stream seen from outside: what the filter has let through so far.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The stream's number, which is the guest's context id.
    pub stream: u32,
    /// The results of the callbacks, in order.
    pub actions: Vec<Action>,
    /// Request headers as they went upstream. `None` while they are held back.
    pub request_headers: Option<HeaderMap>,
    /// Request body that went upstream.
    pub request_body: Vec<u8>,
    /// Whether the whole request went upstream.
    pub request_ended: bool,
    /// Response headers as they went to the client.
    pub response_headers: Option<HeaderMap>,
    /// Response body that went to the client.
    pub response_body: Vec<u8>,
    /// Whether the proxy or the filter answered by itself.
    pub local_reply: bool,
    /// Whether the stream was cut.
    pub reset: bool,
}

impl Exchange {
    fn new(stream: u32) -> Self {
        Self {
            stream,
            ..Self::default()
        }
    }

    /// Returns a request header as it went upstream, as text.
    #[must_use]
    pub fn upstream_header(&self, name: &str) -> Option<&str> {
        self.request_headers.as_ref()?.text(name)
    }

    /// Sends more of the request body.
    pub fn body(&mut self, vm: &mut Vm, chunk: impl AsRef<[u8]>, end: bool) {
        let action = vm.body(
            self.stream,
            Direction::Request,
            chunk.as_ref().to_vec(),
            end,
        );
        self.acted(vm, action);
    }

    /// Sends the upstream's headers. A body must follow.
    pub fn response(&mut self, vm: &mut Vm, status: u16) {
        let headers: HeaderMap = [(":status", status.to_string())].into_iter().collect();
        let action = vm.headers(self.stream, Direction::Response, headers, false);
        self.acted(vm, action);
    }

    /// Sends more of the response body.
    pub fn response_chunk(&mut self, vm: &mut Vm, chunk: impl AsRef<[u8]>, end: bool) {
        let action = vm.body(
            self.stream,
            Direction::Response,
            chunk.as_ref().to_vec(),
            end,
        );
        self.acted(vm, action);
    }

    /// Lets the proxy answer by itself.
    pub fn local_reply(&mut self, vm: &mut Vm, status: u32) {
        vm.local_reply(self.stream, status, HeaderMap::new(), b"local".to_vec());
        self.collect(vm);
    }

    /// Sends a whole answer in two chunks and ends the stream.
    pub fn finish(mut self, vm: &mut Vm) -> Self {
        self.response(vm, 200);
        self.response_chunk(vm, b"first", false);
        self.response_chunk(vm, b"last", true);
        self.close(vm)
    }

    /// Ends the stream: log, done, delete.
    pub fn close(mut self, vm: &mut Vm) -> Self {
        vm.close(self.stream);
        self.collect(vm);
        self
    }

    /// Collects what has left the filter since the last call.
    pub fn collect(&mut self, vm: &mut Vm) {
        for effect in vm.take_effects_of(self.stream) {
            match effect {
                Effect::LocalReply => self.local_reply = true,
                Effect::Reset => self.reset = true,
                Effect::Forward(Direction::Request, part) => {
                    let (headers, body) = (&mut self.request_headers, &mut self.request_body);
                    self.request_ended |= take(part, headers, body);
                }
                Effect::Forward(Direction::Response, part) => {
                    take(part, &mut self.response_headers, &mut self.response_body);
                }
            }
        }
    }

    fn acted(&mut self, vm: &mut Vm, action: Action) {
        self.actions.push(action);
        self.collect(vm);
    }
}

fn take(part: Part, headers: &mut Option<HeaderMap>, body: &mut Vec<u8>) -> bool {
    match part {
        Part::Headers(map, end) => {
            *headers = Some(map);
            end
        }
        Part::Body(bytes, end) => {
            body.extend_from_slice(&bytes);
            end
        }
        Part::Trailers(_) => true,
    }
}
