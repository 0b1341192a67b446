//! HTTP streams through the guest: their callbacks, what these hold back, and what goes on.

use std::collections::BTreeMap;

use wasmtime::{TypedFunc, WasmParams, WasmResults};

use super::callbacks::Callbacks;
use super::{Vm, size};
use crate::abi::{Action, Direction};
use crate::headers::HeaderMap;
use crate::host::Deferred;
use crate::stream::{Effect, Half, LocalReply, Part, Stream, Verdict};

/// The result of a stream's callback.
enum Called<R> {
    /// The callback is not exported, or the VM had failed before.
    No,
    Returned(R),
    /// The VM failed in the callback. The end of the stream is planned.
    Trapped,
}

/// The status that Envoy answers a request with if the VM traps on it.
const TRAPPED: u32 = 503;

impl Vm {
    /// Opens a stream and returns its number. The guest learns of the stream with its headers.
    pub fn open(&mut self) -> u32 {
        let number = self.next_context;
        self.next_context = self.next_context.checked_add(1).unwrap_or(super::ROOT + 1);
        self.store
            .data_mut()
            .streams
            .insert(number, Stream::default());
        number
    }

    /// Returns the number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.store.data().streams.len()
    }

    /// Sets a property that `proxy_get_property` returns for this stream. Dots separate the parts
    /// of `path` here (`upstream.address`).
    pub fn set_attribute(&mut self, stream: u32, path: &str, value: impl AsRef<[u8]>) {
        if let Some(stream) = self.store.data_mut().streams.get_mut(&stream) {
            stream.attributes.insert(
                path.replace('.', "\0").into_bytes(),
                value.as_ref().to_vec(),
            );
        }
    }

    /// Returns the stream's filter state: what the guest has set with `proxy_set_property`, by
    /// path. All filters of a chain share it.
    #[must_use]
    pub fn filter_state(&self, stream: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let stream = self.store.data().streams.get(&stream);
        stream
            .map(|stream| stream.state.clone())
            .unwrap_or_default()
    }

    /// Replaces the stream's filter state by that of another filter of its chain.
    pub fn set_filter_state(&mut self, stream: u32, state: BTreeMap<Vec<u8>, Vec<u8>>) {
        if let Some(stream) = self.store.data_mut().streams.get_mut(&stream) {
            stream.state = state;
        }
    }

    /// Delivers headers. Does nothing if the stream is closed or already has headers. Body and
    /// trailers do nothing for a closed stream, before its headers, and after its end.
    pub fn headers(
        &mut self,
        stream: u32,
        direction: Direction,
        headers: HeaderMap,
        end: bool,
    ) -> Action {
        let count = size(headers.len());
        match self.half(stream, direction) {
            Some(half) if !half.begun => half.headers(headers, end),
            _ => return Action::Continue,
        }
        self.create(stream);
        let called = self.call(
            stream,
            |callbacks| match direction {
                Direction::Request => callbacks.request_headers.clone(),
                Direction::Response => callbacks.response_headers.clone(),
            },
            (stream, count, u32::from(end)),
        );
        let verdict = match called {
            Called::No | Called::Returned(0) => Verdict::Continue,
            Called::Returned(1) if self.options.allow_on_headers_stop_iteration => {
                Verdict::StopHeaders
            }
            Called::Returned(_) | Called::Trapped => Verdict::StopAll,
        };
        self.apply(stream, direction, |half, out| {
            half.after_headers(verdict, out)
        });
        self.settle();
        action(verdict)
    }

    /// Delivers part of a body. Returns `Pause` also if everything is stopped and there is no
    /// callback.
    pub fn body(&mut self, stream: u32, direction: Direction, chunk: Vec<u8>, end: bool) -> Action {
        let limit = self.options.buffer_limit_bytes;
        let (len, within) = match self.half(stream, direction) {
            Some(half) if half.begun && !half.ended() => {
                (half.body(chunk, end), half.is_within(limit))
            }
            _ => return Action::Continue,
        };
        let action = match len {
            Some(len) if within => self.body_callback(stream, direction, len, end),
            Some(_) => self.refuse_body(stream, direction),
            None => Action::Pause,
        };
        self.settle();
        action
    }

    /// Delivers trailers, which end the message.
    pub fn trailers(&mut self, stream: u32, direction: Direction, trailers: HeaderMap) -> Action {
        let count = size(trailers.len());
        let callback = match self.half(stream, direction) {
            Some(half) if half.begun && !half.ended() => half.trailers(trailers),
            _ => return Action::Continue,
        };
        let action = if callback {
            self.trailers_callback(stream, direction, count)
        } else {
            Action::Pause
        };
        self.settle();
        action
    }

    /// Answers as the proxy does by itself (no upstream, timeout and so on). The response goes
    /// through the filter like any other.
    pub fn local_reply(&mut self, stream: u32, status: u32, headers: HeaderMap, body: Vec<u8>) {
        self.reply(
            stream,
            LocalReply {
                status,
                headers,
                body,
            },
        );
        self.settle();
    }

    /// Ends the stream for any reason: log, done and delete, in this order. A stream that had no
    /// headers is first made known to the guest, as Envoy does for requests that it refuses itself.
    pub fn close(&mut self, stream: u32) {
        self.create(stream);
        if let Some(own) = self.store.data_mut().streams.get_mut(&stream) {
            own.request.hide();
            own.response.hide();
            own.logging = true;
        }
        self.enter(stream, |callbacks| callbacks.log.clone(), stream);
        if let Some(own) = self.store.data_mut().streams.get_mut(&stream) {
            own.logging = false;
        }
        self.close_without_log(stream);
    }

    /// Ends the stream without `proxy_on_log`.
    pub fn close_without_log(&mut self, stream: u32) {
        let own = self.store.data().streams.get(&stream);
        if own.is_some_and(|own| own.created) {
            self.enter(stream, |callbacks| callbacks.done.clone(), stream);
            self.enter(stream, |callbacks| callbacks.delete.clone(), stream);
        }
        let host = self.store.data_mut();
        host.streams.remove(&stream);
        // A stream's call-outs end with it, and never get an answer.
        host.calls.retain(|_, context| *context != stream);
        self.settle();
    }

    /// Lets out everything that is held back. This is for the streams of a failed VM, whose guest
    /// cannot resume them.
    pub fn release_all(&mut self) {
        let streams: Vec<u32> = self.store.data().streams.keys().copied().collect();
        for stream in streams {
            self.resume(stream, Direction::Request);
            self.resume(stream, Direction::Response);
        }
        self.settle();
    }

    fn half(&mut self, stream: u32, direction: Direction) -> Option<&mut Half> {
        self.store
            .data_mut()
            .streams
            .get_mut(&stream)
            .map(|stream| stream.half(direction))
    }

    fn create(&mut self, stream: u32) {
        let own = self.store.data_mut().streams.get_mut(&stream);
        if own.is_some_and(|own| !std::mem::replace(&mut own.created, true)) {
            self.enter(
                stream,
                |callbacks| callbacks.context_create.clone(),
                (stream, super::ROOT),
            );
        }
    }

    fn body_callback(
        &mut self,
        stream: u32,
        direction: Direction,
        len: usize,
        end: bool,
    ) -> Action {
        let called = self.call(
            stream,
            |callbacks| match direction {
                Direction::Request => callbacks.request_body.clone(),
                Direction::Response => callbacks.response_body.clone(),
            },
            (stream, size(len), u32::from(end)),
        );
        let verdict = match called {
            Called::No | Called::Returned(0) => Verdict::Continue,
            Called::Returned(1) => Verdict::HoldBody,
            Called::Returned(2) | Called::Trapped => Verdict::HoldBodyAndWait,
            Called::Returned(_) => Verdict::DropBody,
        };
        let limit = self.options.buffer_limit_bytes;
        let mut within = true;
        self.apply(stream, direction, |half, out| {
            half.after_body(verdict, out);
            within = half.is_within(limit);
        });
        if !within {
            return self.refuse_body(stream, direction);
        }
        action(verdict)
    }

    /// Answers a body that is held beyond the limit: 413 for a request, 500 for a response.
    fn refuse_body(&mut self, stream: u32, direction: Direction) -> Action {
        let is_request = direction == Direction::Request;
        let status = if is_request { 413 } else { 500 };
        self.reply(stream, LocalReply::bare(status));
        Action::Pause
    }

    fn trailers_callback(&mut self, stream: u32, direction: Direction, count: u32) -> Action {
        let called = self.call(
            stream,
            |callbacks| match direction {
                Direction::Request => callbacks.request_trailers.clone(),
                Direction::Response => callbacks.response_trailers.clone(),
            },
            (stream, count),
        );
        let verdict = if matches!(called, Called::No | Called::Returned(0)) {
            Verdict::Continue
        } else {
            Verdict::StopAll
        };
        self.apply(stream, direction, |half, out| {
            half.after_trailers(verdict, out)
        });
        action(verdict)
    }

    /// Enters the guest for a stream. If that traps, the stream's end follows after the callback's
    /// result has been applied.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        stream: u32,
        callback: impl FnOnce(&Callbacks) -> Option<TypedFunc<P, R>>,
        arguments: P,
    ) -> Called<R> {
        let failed_before = self.failure.is_some();
        match self.enter(stream, callback, arguments) {
            Some(result) => Called::Returned(result),
            None if failed_before || self.failure.is_none() => Called::No,
            None => {
                let reply = LocalReply::bare(TRAPPED);
                self.store
                    .data_mut()
                    .deferred
                    .push(Deferred::LocalReply(stream, reply));
                Called::Trapped
            }
        }
    }

    fn apply(
        &mut self,
        stream: u32,
        direction: Direction,
        change: impl FnOnce(&mut Half, &mut Vec<Part>),
    ) {
        let mut parts = Vec::new();
        if let Some(half) = self.half(stream, direction) {
            change(half, &mut parts);
        }
        self.effects.extend(
            parts
                .into_iter()
                .map(|part| (stream, Effect::Forward(direction, part))),
        );
    }

    /// Carries out what hostcalls asked for, until nothing is left. Resuming a stream can enter the
    /// guest again.
    pub(super) fn settle(&mut self) {
        loop {
            let deferred = std::mem::take(&mut self.store.data_mut().deferred);
            if deferred.is_empty() {
                return;
            }
            for one in deferred {
                match one {
                    Deferred::Continue(stream, direction) => self.resume(stream, direction),
                    Deferred::LocalReply(stream, reply) => self.reply(stream, reply),
                    Deferred::Close(stream) => self.effects.push_back((stream, Effect::Reset)),
                }
            }
        }
    }

    fn resume(&mut self, stream: u32, direction: Direction) {
        let Some(half) = self.half(stream, direction).filter(|half| half.begun) else {
            return;
        };
        let all = half.stopped();
        self.apply(stream, direction, Half::resume);
        if !all {
            return;
        }
        let (body, trailers) = self
            .half(stream, direction)
            .map(Half::take_stopped)
            .unwrap_or_default();
        if let Some((body, end)) = body {
            let len = self
                .half(stream, direction)
                .and_then(|half| half.body(body, end));
            if let Some(len) = len {
                self.body_callback(stream, direction, len, end);
            }
        }
        if let Some(trailers) = trailers {
            let count = size(trailers.len());
            if self
                .half(stream, direction)
                .is_some_and(|half| half.trailers(trailers))
            {
                self.trailers_callback(stream, direction, count);
            }
        }
    }

    fn reply(&mut self, stream: u32, reply: LocalReply) {
        let Some(own) = self.store.data_mut().streams.get_mut(&stream) else {
            return;
        };
        own.replied = true;
        own.request.discard();
        if own.response.forwarded() {
            self.effects.push_back((stream, Effect::Reset));
            return;
        }
        own.response = Half::default();
        self.effects.push_back((stream, Effect::LocalReply));
        let mut headers = reply.headers;
        headers.replace(":status", reply.status.to_string());
        headers.replace("content-length", reply.body.len().to_string());
        let end = reply.body.is_empty();
        self.headers(stream, Direction::Response, headers, end);
        if !end {
            self.body(stream, Direction::Response, reply.body, true);
        }
    }
}

const fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Continue => Action::Continue,
        _ => Action::Pause,
    }
}
