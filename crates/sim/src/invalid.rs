//! The errors of running a scenario.

/// Why a scenario cannot be run. A scenario that was parsed from a file never gives this error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// An endpoint's profile is out of range.
    #[error("fleet: {0}")]
    Profile(#[from] trimtab_engine::ProfileError),
    /// The workload is out of range.
    #[error("workload: {0}")]
    Workload(#[from] trimtab_workload::Invalid),
    /// The offered load amounts to no requests at all.
    #[error(
        "load: {load} of the fleet's capacity is no traffic; give a larger load or an endpoint"
    )]
    Idle {
        /// The load, as a share of capacity.
        load: f64,
    },
}
