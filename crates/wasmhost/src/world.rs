//! The world outside of the proxy: the clock, the log, the clusters.

use crate::abi::{LogLevel, Status};
use crate::headers::HeaderMap;

/// Answers a VM's questions about the world. [`Script`](crate::Script) does so in tests.
pub trait World {
    /// Returns the wall clock in nanoseconds since 1970. May step back.
    fn now_ns(&mut self) -> u64;

    /// Receives a line of the guest's log. `message` may be any bytes.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Sends a call-out. After `Ok` it is on its way, and its answer comes later by
    /// [`Vm::answer_call`](crate::Vm::answer_call) with `call.token`.
    ///
    /// # Errors
    /// Returns the status for the guest, for example [`Status::BAD_ARGUMENT`] for an unknown
    /// cluster.
    fn http_call(&mut self, call: HttpCall) -> Result<(), Status>;

    /// Returns a property that is the same for all streams (`node.id`, `plugin_name` and so on).
    /// NUL separates the parts of `path`.
    fn property(&mut self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Calls a function outside of the ABI.
    ///
    /// # Errors
    /// Returns the status for the guest, for example [`Status::NOT_FOUND`] for an unknown function.
    fn foreign_function(&mut self, _name: &[u8], _argument: &[u8]) -> Result<Vec<u8>, Status> {
        Err(Status::NOT_FOUND)
    }

    /// Called before each hostcall. With `Some(status)` the call does nothing, writes nothing and
    /// answers `status`. [`Status::OK`] is possible too. It plays a host that reports success and
    /// leaves the guest's out-pointers unchanged.
    fn intercept(&mut self, _call: &'static str, _context: u32) -> Option<Status> {
        None
    }

    /// Called after each hostcall.
    fn answered(&mut self, _call: &'static str, _context: u32, _status: Status) {}
}

/// One `proxy_http_call`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// The number that connects the answer with its call.
    pub token: u32,
    /// Name of the upstream cluster.
    pub cluster: String,
    /// Headers, with `:method`, `:path` and `:authority`.
    pub headers: HeaderMap,
    /// Body, may be empty.
    pub body: Vec<u8>,
    /// Trailers, may be empty.
    pub trailers: HeaderMap,
    /// Timeout in milliseconds. 0: no timeout.
    pub timeout_ms: u32,
}

/// The answer of a call-out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallAnswer {
    /// Headers, with `:status`.
    pub headers: HeaderMap,
    /// Body, may be empty.
    pub body: Vec<u8>,
    /// Trailers, may be empty.
    pub trailers: HeaderMap,
}

impl CallAnswer {
    /// Makes an answer with this status and body.
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
