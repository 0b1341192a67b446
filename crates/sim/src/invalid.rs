//! Why a scenario cannot be run.

/// A scenario that no run can be made of. One that was parsed from a file is not among them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// An endpoint's profile is out of range.
    #[error("fleet: {0}")]
    Profile(#[from] trimtab_engine::ProfileError),
    /// The workload is out of range.
    #[error("workload: {0}")]
    Workload(#[from] trimtab_workload::Invalid),
    /// The offered load comes to no requests at all.
    #[error("load: {load} of the fleet's capacity is no traffic; give a larger load or an endpoint")]
    Idle {
        /// Share of capacity.
        load: f64,
    },
}
