//! Callbacks that a real proxy would not make: for contexts that do not exist, or in an impossible
//! order. The guest must survive them.

use super::{ROOT, Vm};

/// A callback by itself. Its answer is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// `proxy_on_context_create`. The first number is the parent.
    ContextCreate,
    /// `proxy_on_configure`, with a size that may be wrong.
    Configure,
    /// `proxy_on_tick`, for any context.
    Tick,
    /// `proxy_on_queue_ready`.
    QueueReady,
    /// `proxy_on_http_call_response`: token, size of the body.
    CallResponse,
    /// `proxy_on_request_headers`: count, end of stream.
    RequestHeaders,
    /// `proxy_on_request_body`: size, end of stream.
    RequestBody,
    /// `proxy_on_request_trailers`.
    RequestTrailers,
    /// `proxy_on_response_headers`: count, end of stream.
    ResponseHeaders,
    /// `proxy_on_response_body`: size, end of stream.
    ResponseBody,
    /// `proxy_on_response_trailers`.
    ResponseTrailers,
    /// `proxy_on_done`.
    Done,
    /// `proxy_on_log`.
    Log,
    /// `proxy_on_delete`.
    Delete,
}

impl Stray {
    /// All callbacks.
    pub const ALL: [Self; 14] = [
        Self::ContextCreate,
        Self::Configure,
        Self::Tick,
        Self::QueueReady,
        Self::CallResponse,
        Self::RequestHeaders,
        Self::RequestBody,
        Self::RequestTrailers,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::ResponseTrailers,
        Self::Done,
        Self::Log,
        Self::Delete,
    ];
}

impl Vm {
    /// Number of the root context, for [`Self::stray`].
    pub const ROOT: u32 = ROOT;

    /// Runs one callback for any `context`. `first` and `second` are its other numbers, if it has
    /// any.
    pub fn stray(&mut self, callback: Stray, context: u32, first: u32, second: u32) {
        let three = (context, first, second);
        let two = (context, first);
        match callback {
            Stray::ContextCreate => self.run(context, |own| own.context_create.clone(), two),
            Stray::Configure => self.run(context, |own| own.configure.clone(), two),
            Stray::Tick => self.run(context, |own| own.tick.clone(), context),
            Stray::QueueReady => self.run(context, |own| own.queue_ready.clone(), two),
            Stray::CallResponse => {
                let five = (context, first, 1, second, 0);
                self.run(context, |own| own.call_response.clone(), five);
            }
            Stray::RequestHeaders => self.run(context, |own| own.request_headers.clone(), three),
            Stray::RequestBody => self.run(context, |own| own.request_body.clone(), three),
            Stray::RequestTrailers => self.run(context, |own| own.request_trailers.clone(), two),
            Stray::ResponseHeaders => self.run(context, |own| own.response_headers.clone(), three),
            Stray::ResponseBody => self.run(context, |own| own.response_body.clone(), three),
            Stray::ResponseTrailers => self.run(context, |own| own.response_trailers.clone(), two),
            Stray::Done => self.run(context, |own| own.done.clone(), context),
            Stray::Log => self.run(context, |own| own.log.clone(), context),
            Stray::Delete => self.run(context, |own| own.delete.clone(), context),
        }
        self.settle();
    }

    fn run<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        context: u32,
        callback: impl FnOnce(&super::Callbacks) -> Option<wasmtime::TypedFunc<P, R>>,
        arguments: P,
    ) {
        // A trap shows in `failure`.
        let _answer = self.enter(context, callback, arguments);
    }
}
