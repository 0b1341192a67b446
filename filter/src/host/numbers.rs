//! The numbers of proxy-wasm 0.2.1 for what crosses the boundary; those that this filter uses.

/// What a stream callback tells the proxy to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Action {
    Continue = 0,
    Pause = 1,
}

/// Severity of a line in the proxy's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Error = 4,
    #[cfg_attr(
        not(target_arch = "wasm32"),
        allow(dead_code, reason = "only a VM says it")
    )]
    Critical = 5,
}

/// A buffer of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    CallBody = 4,
    PluginConfiguration = 7,
}

/// A header map of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Map {
    Request = 0,
    Response = 2,
    Call = 6,
}

/// A kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MetricKind {
    Counter = 0,
    Gauge = 1,
}
