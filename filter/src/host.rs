//! The proxy: every hostcall of the filter is in this module and nowhere else.
//!
//! Comes in: plain Rust values. Goes out: plain Rust values. "The host has no such thing"
//! (`Ok(None)`) is distinct from "the call failed" ([`HostError`]). Never: a panic, whatever status
//! the host answers; a `String` from bytes that are not UTF-8.
#![allow(
    unsafe_code,
    reason = "hostcalls are foreign functions; this is the one module that has them"
)]

mod abi;
mod headers;

use std::fmt;

pub(crate) use headers::HeaderPairs;
pub(crate) use proxy_wasm::types::{
    Action, BufferType as Buffer, LogLevel as Level, MapType as Map, MetricType as MetricKind,
};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const EMPTY: u32 = 7;
const CAS_MISMATCH: u32 = 8;
const UNIMPLEMENTED: u32 = 12;

/// A hostcall that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostError {
    /// The call, by its name in the ABI.
    pub(crate) call: &'static str,
    /// The status that the host answered.
    pub(crate) status: u32,
}

impl HostError {
    /// Envoy's status for an argument that it does not accept. For a call-out: the cluster does not
    /// exist.
    pub(crate) const BAD_ARGUMENT: u32 = 2;
    /// The filter's own status: the host answered `Ok` with bytes that break the ABI.
    pub(crate) const MALFORMED: u32 = u32::MAX;
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.status {
            NOT_FOUND => "not found",
            Self::BAD_ARGUMENT => "bad argument",
            EMPTY => "empty",
            CAS_MISMATCH => "compare-and-swap mismatch",
            10 => "internal failure",
            UNIMPLEMENTED => "unimplemented",
            Self::MALFORMED => "malformed answer",
            _ => "unexpected status",
        };
        write!(f, "{}: {meaning} ({})", self.call, self.status)
    }
}

/// A value of shared data, and the number that a compare-and-swap needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) value: Vec<u8>,
    pub(crate) cas: u32,
}

/// A call-out to make.
#[derive(Debug)]
pub(crate) struct HttpCall<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
    pub(crate) timeout_ms: u32,
}

fn check(call: &'static str, status: u32) -> Result<(), HostError> {
    if status == OK {
        Ok(())
    } else {
        Err(HostError { call, status })
    }
}

/// Runs a call that returns bytes. `Ok(None)`: the host has no such value.
fn bytes(
    call: &'static str,
    run: impl FnOnce(*mut *mut u8, *mut usize) -> u32,
) -> Result<Option<Vec<u8>>, HostError> {
    let mut data: *mut u8 = std::ptr::null_mut();
    let mut size: usize = 0;
    match run(&raw mut data, &raw mut size) {
        OK if data.is_null() => Ok(Some(Vec::new())),
        // SAFETY: a host that answers Ok with an address got it from our exported `malloc(size)`,
        // which hands out a boxed slice of exactly `size` bytes, and has given it up.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, size, size) })),
        NOT_FOUND | EMPTY => Ok(None),
        status => Err(HostError { call, status }),
    }
}

/// Writes a line to the proxy's log. A failure is ignored: there is nowhere else to report it.
pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: the host reads `len` bytes of a live string.
    let _ = unsafe { abi::proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Returns nanoseconds since the Unix epoch on the host's wall clock, which may step back.
pub(crate) fn now_ns() -> Result<u64, HostError> {
    let mut time = 0_u64;
    // SAFETY: the host writes 8 bytes to a live u64.
    let status = unsafe { abi::proxy_get_current_time_nanoseconds(&raw mut time) };
    check("proxy_get_current_time_nanoseconds", status).map(|()| time)
}

/// Asks for `on_tick` every `period_ms`.
pub(crate) fn set_tick_period(period_ms: u32) -> Result<(), HostError> {
    // SAFETY: no memory is passed.
    let status = unsafe { abi::proxy_set_tick_period_milliseconds(period_ms) };
    check("proxy_set_tick_period_milliseconds", status)
}

/// Returns at most `max_bytes` of a buffer, from `start` on. `None`: there is no such buffer at
/// this time.
pub(crate) fn buffer(
    kind: Buffer,
    start: usize,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, HostError> {
    let mut read = bytes("proxy_get_buffer_bytes", |data, size| {
        // SAFETY: the host writes an address and a size to live places.
        unsafe { abi::proxy_get_buffer_bytes(kind as u32, start, max_bytes, data, size) }
    })?;
    if let Some(read) = &mut read {
        read.truncate(max_bytes);
    }
    Ok(read)
}

/// Returns all headers of a map in one call. That costs less than three single look-ups.
pub(crate) fn header_pairs(map: Map) -> Result<HeaderPairs, HostError> {
    const CALL: &str = "proxy_get_header_map_pairs";
    let serialized = bytes(CALL, |data, size| {
        // SAFETY: the host writes an address and a size to live places.
        unsafe { abi::proxy_get_header_map_pairs(map as u32, data, size) }
    })?;
    HeaderPairs::parse(serialized.unwrap_or_default()).ok_or(HostError {
        call: CALL,
        status: HostError::MALFORMED,
    })
}

/// Returns one header's value. `None`: the map has no such header.
pub(crate) fn header(map: Map, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    bytes("proxy_get_header_map_value", |data, size| {
        // SAFETY: the host reads a live string and writes an address and a size to live places.
        unsafe {
            abi::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
        }
    })
}

/// Sets a header. Replaces all headers of that name.
pub(crate) fn set_header(map: Map, name: &str, value: &str) -> Result<(), HostError> {
    // SAFETY: the host reads two live strings.
    let status = unsafe {
        abi::proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
    check("proxy_replace_header_map_value", status)
}

/// Removes every header of a name.
pub(crate) fn remove_header(map: Map, name: &str) -> Result<(), HostError> {
    // SAFETY: the host reads a live string.
    let status =
        unsafe { abi::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    check("proxy_remove_header_map_value", status)
}

/// Returns a property of the stream. `None`: the proxy does not know it (yet).
///
/// - `path`: segments joined by NUL.
pub(crate) fn property(path: &str) -> Result<Option<Vec<u8>>, HostError> {
    bytes("proxy_get_property", |data, size| {
        // SAFETY: the host reads a live string and writes an address and a size to live places.
        unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), data, size) }
    })
}

/// Sets a property of the stream at hand. Later plugins of its chain and access logs can read it.
///
/// - `name`: one segment.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<(), HostError> {
    // SAFETY: the host reads a live string and a live slice.
    let status =
        unsafe { abi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    check("proxy_set_property", status)
}

/// Makes the hostcalls that follow in this callback concern another stream, or the plugin itself.
/// Fails for a stream that is gone.
pub(crate) fn set_effective_context(context_id: u32) -> Result<(), HostError> {
    // SAFETY: no memory is passed.
    let status = unsafe { abi::proxy_set_effective_context(context_id) };
    check("proxy_set_effective_context", status)
}

/// Lets the held request of the stream at hand go on, after this callback has returned.
pub(crate) fn continue_request() -> Result<(), HostError> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is passed.
    let status = unsafe { abi::proxy_continue_stream(REQUEST) };
    check("proxy_continue_stream", status)
}

/// Returns a value that all VMs of this proxy share. `None`: nobody has set it.
pub(crate) fn shared(key: &str) -> Result<Option<Shared>, HostError> {
    let mut cas = 0_u32;
    let value = bytes("proxy_get_shared_data", |data, size| {
        // SAFETY: the host reads a live string and writes an address, a size and a number to live
        // places.
        unsafe { abi::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas) }
    })?;
    Ok(value.map(|value| Shared { value, cas }))
}

/// Which earlier value a shared value may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Any.
    Anything,
    /// The value that was read, by its [`Shared::cas`]. `None`: there was none.
    Read(Option<u32>),
}

/// Stores a shared value. Returns `Ok(false)` if somebody has written it since it was read.
pub(crate) fn set_shared(key: &str, value: &[u8], over: Over) -> Result<bool, HostError> {
    let cas = match over {
        Over::Anything => 0,
        Over::Read(Some(cas)) => cas,
        // A proxy accepts any number for a key that it does not have. The numbers of existing keys
        // count up from 1, so they differ from this one.
        Over::Read(None) => u32::MAX,
    };
    // SAFETY: the host reads two live slices.
    let status = unsafe {
        abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
    };
    match status {
        CAS_MISMATCH => Ok(false),
        status => check("proxy_set_shared_data", status).map(|()| true),
    }
}

/// Registers a queue of this VM and returns its number. Any VM of the proxy can enqueue by that
/// number. This VM then gets a callback.
pub(crate) fn register_queue(name: &str) -> Result<u32, HostError> {
    let mut id = 0_u32;
    // SAFETY: the host reads a live string and writes 4 bytes to a live u32.
    let status =
        unsafe { abi::proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut id) };
    check("proxy_register_shared_queue", status).map(|()| id)
}

/// Puts a message into a queue. Returns `Ok(false)` if there is no such queue.
pub(crate) fn enqueue(id: u32, message: &[u8]) -> Result<bool, HostError> {
    // SAFETY: the host reads a live slice.
    match unsafe { abi::proxy_enqueue_shared_queue(id, message.as_ptr(), message.len()) } {
        NOT_FOUND => Ok(false),
        status => check("proxy_enqueue_shared_queue", status).map(|()| true),
    }
}

/// Takes the oldest message out of a queue. `None`: the queue is empty or does not exist.
pub(crate) fn dequeue(id: u32) -> Result<Option<Vec<u8>>, HostError> {
    bytes("proxy_dequeue_shared_queue", |data, size| {
        // SAFETY: the host writes an address and a size to live places.
        unsafe { abi::proxy_dequeue_shared_queue(id, data, size) }
    })
}

/// Returns the bytes of this VM's memory. Memory never shrinks. Returns 0 where there is no VM.
pub(crate) fn memory_bytes() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) as u64 * 65_536;
    #[cfg(not(target_arch = "wasm32"))]
    0
}

/// Defines a metric and returns its number. The same name means the same metric in every VM.
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Result<u32, HostError> {
    let mut id = 0_u32;
    // SAFETY: the host reads a live string and writes 4 bytes to a live u32.
    let status =
        unsafe { abi::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    check("proxy_define_metric", status).map(|()| id)
}

/// Adds to a counter.
pub(crate) fn increment_metric(id: u32, by: u64) -> Result<(), HostError> {
    let by = i64::try_from(by).unwrap_or(i64::MAX);
    // SAFETY: no memory is passed.
    let status = unsafe { abi::proxy_increment_metric(id, by) };
    check("proxy_increment_metric", status)
}

/// Sets a gauge.
pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), HostError> {
    // SAFETY: no memory is passed.
    let status = unsafe { abi::proxy_record_metric(id, value) };
    check("proxy_record_metric", status)
}

/// Starts a call-out and returns its token. The answer comes to `trimtab_on_http_call_response`.
pub(crate) fn http_call(call: &HttpCall<'_>) -> Result<u32, HostError> {
    let headers = headers::serialize(call.headers);
    let trailers = headers::serialize(&[]);
    let mut token = 0_u32;
    // SAFETY: the host reads live slices and writes 4 bytes to a live u32.
    let status = unsafe {
        abi::proxy_http_call(
            call.cluster.as_ptr(),
            call.cluster.len(),
            headers.as_ptr(),
            headers.len(),
            call.body.as_ptr(),
            call.body.len(),
            trailers.as_ptr(),
            trailers.len(),
            call.timeout_ms,
            &raw mut token,
        )
    };
    check("proxy_http_call", status).map(|()| token)
}
