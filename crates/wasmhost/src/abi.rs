//! The numbers of the proxy-wasm ABI 0.2.1 that guest and host exchange.

/// The status of a hostcall. The guest sees the number.
///
/// This is a number with names for the known values, and not an enum. Tests also answer hostcalls
/// with statuses that no host is known to send, and the filter must survive those.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

impl Status {
    /// The call succeeded.
    pub const OK: Self = Self(0);
    /// There is no such header, key, queue, metric or function.
    pub const NOT_FOUND: Self = Self(1);
    /// An argument is out of range, the map is not available in this phase, or the cluster is
    /// unknown.
    pub const BAD_ARGUMENT: Self = Self(2);
    /// A value could not be serialised.
    pub const SERIALIZATION_FAILURE: Self = Self(3);
    /// A value could not be parsed.
    pub const PARSE_FAILURE: Self = Self(4);
    /// A pointer or a length is outside of the guest's memory.
    pub const INVALID_MEMORY_ACCESS: Self = Self(6);
    /// The queue is empty.
    pub const EMPTY: Self = Self(7);
    /// The key was written after the guest read it.
    pub const CAS_MISMATCH: Self = Self(8);
    /// The host could not do it, and the guest is not at fault.
    pub const INTERNAL_FAILURE: Self = Self(10);
    /// This host does not have the call.
    pub const UNIMPLEMENTED: Self = Self(12);

    /// Returns the ABI's name of the status, or `unknown` for a number that the ABI does not list.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "ok",
            1 => "not found",
            2 => "bad argument",
            3 => "serialization failure",
            4 => "parse failure",
            5 => "bad expression",
            6 => "invalid memory access",
            7 => "empty",
            8 => "cas mismatch",
            9 => "result mismatch",
            10 => "internal failure",
            11 => "broken connection",
            12 => "unimplemented",
            _ => "unknown",
        }
    }
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Status({}: {})", self.0, self.name())
    }
}

/// What a stream callback asks the proxy to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Go on with the next filter.
    Continue,
    /// Headers: stop. The plugin's options decide what else stops. Body: hold this part and all
    /// earlier ones.
    Pause,
}

/// A stream's direction, as in `proxy_continue_stream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to upstream.
    Request,
    /// Upstream to client.
    Response,
}

/// Levels of `proxy_log`, from least to most severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// 0
    Trace,
    /// 1
    Debug,
    /// 2
    Info,
    /// 3
    Warn,
    /// 4
    Error,
    /// 5
    Critical,
}

impl TryFrom<u32> for LogLevel {
    type Error = Status;

    fn try_from(level: u32) -> Result<Self, Status> {
        Ok(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return Err(Status::BAD_ARGUMENT),
        })
    }
}

/// The header map that a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapType {
    /// 0
    RequestHeaders,
    /// 1
    RequestTrailers,
    /// 2
    ResponseHeaders,
    /// 3
    ResponseTrailers,
    /// 4 and 5: gRPC call-outs, which this host does not have.
    GrpcMetadata,
    /// 6
    CallHeaders,
    /// 7
    CallTrailers,
}

impl TryFrom<u32> for MapType {
    type Error = Status;

    fn try_from(map: u32) -> Result<Self, Status> {
        Ok(match map {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4 | 5 => Self::GrpcMetadata,
            6 => Self::CallHeaders,
            7 => Self::CallTrailers,
            _ => return Err(Status::BAD_ARGUMENT),
        })
    }
}

/// The buffer that a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufferType {
    /// 0
    RequestBody,
    /// 1
    ResponseBody,
    /// 2, 3, 5 and 8: buffers of connections, gRPC call-outs and foreign calls, which this host
    /// does not have.
    Other,
    /// 4
    CallBody,
    /// 6
    VmConfiguration,
    /// 7
    PluginConfiguration,
}

impl TryFrom<u32> for BufferType {
    type Error = Status;

    fn try_from(buffer: u32) -> Result<Self, Status> {
        Ok(match buffer {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            2 | 3 | 5 | 8 => Self::Other,
            4 => Self::CallBody,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            _ => return Err(Status::BAD_ARGUMENT),
        })
    }
}

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// 0: only grows.
    Counter,
    /// 1: goes up and down.
    Gauge,
    /// 2: a distribution.
    Histogram,
}

impl TryFrom<u32> for MetricType {
    type Error = Status;

    fn try_from(kind: u32) -> Result<Self, Status> {
        Ok(match kind {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Histogram,
            _ => return Err(Status::BAD_ARGUMENT),
        })
    }
}

/// The number of the root context.
pub(crate) const ROOT: u32 = 1;
