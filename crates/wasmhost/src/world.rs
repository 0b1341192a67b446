//! What lies outside of the proxy: the clock, the log, the clusters.

use crate::abi::{LogLevel, Status};
use crate::headers::HeaderMap;

/// Answers to what a VM asks of the world. [`Script`](crate::Script) is the one for tests.
pub trait World {
    /// Wall clock, nanoseconds since 1970. May step back.
    fn now_ns(&mut self) -> u64;

    /// A line of the guest's log. `message` is what the guest wrote: any bytes.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Sends a call-out. `Ok`: it is on its way, and its answer comes later by
    /// [`Vm::answer_call`](crate::Vm::answer_call) with `call.token`.
    ///
    /// # Errors
    /// The status that the guest gets: [`Status::BAD_ARGUMENT`] for a cluster that does not exist.
    fn http_call(&mut self, call: HttpCall) -> Result<(), Status>;

    /// A property that is the same for all streams (`node.id`, `plugin_name` ...); path parts are separated by NUL.
    fn property(&mut self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// A function outside of the ABI.
    ///
    /// # Errors
    /// The status that the guest gets: [`Status::NOT_FOUND`] when there is no such function.
    fn foreign_function(&mut self, _name: &[u8], _argument: &[u8]) -> Result<Vec<u8>, Status> {
        Err(Status::NOT_FOUND)
    }

    /// Asked before each hostcall. `Some(status)`: the call does nothing, writes nothing, and answers that;
    /// [`Status::OK`] too, which plays a host that says yes and leaves the guest's out-pointers as they were.
    fn intercept(&mut self, _call: &'static str, _context: u32) -> Option<Status> {
        None
    }

    /// Told after each hostcall.
    fn answered(&mut self, _call: &'static str, _context: u32, _status: Status) {}
}

/// One `proxy_http_call`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// The number by which the answer finds its call.
    pub token: u32,
    /// Name of the upstream cluster.
    pub cluster: String,
    /// With `:method`, `:path` and `:authority`.
    pub headers: HeaderMap,
    /// May be empty.
    pub body: Vec<u8>,
    /// May be empty.
    pub trailers: HeaderMap,
    /// 0: no timeout.
    pub timeout_ms: u32,
}

/// What a call-out was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallAnswer {
    /// With `:status`.
    pub headers: HeaderMap,
    /// May be empty.
    pub body: Vec<u8>,
    /// May be empty.
    pub trailers: HeaderMap,
}

impl CallAnswer {
    /// An answer with that status and body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = [(":status", status.to_string())].into_iter().collect();
        Self {
            headers,
            body: body.into(),
            trailers: HeaderMap::new(),
        }
    }
}
