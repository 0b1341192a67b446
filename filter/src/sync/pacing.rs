//! When a worker did last what it does only now and then. In nanoseconds, on the host's clock.

/// The last times of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    /// When it wrote its report.
    pub(crate) written_ns: u64,
    /// When it made sure that it is in the list of workers.
    pub(crate) registered_ns: u64,
    /// When it woke the holder of the lease for an urgent report.
    pub(crate) told_ns: u64,
    /// An urgent event came too soon after that. The next tick or urgent event reports it.
    pub(crate) untold: bool,
}
