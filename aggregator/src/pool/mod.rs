//! Pools at run time.
//!
//! Comes in: members (`membership`), outcomes of scrapes, proxies' reports. Goes out: tables (`publication`). [`registry`] has the pools,
//! each a [`state::PoolState`] that ties together what is known (`estimator`), what is still missing (`readiness`), why pages are missing
//! (`reasons`) and what is published. `declared` adds and removes those that a cluster declares.

pub(crate) mod declared;
mod estimator;
mod heard;
mod membership;
pub(crate) mod publication;
mod readiness;
mod reasons;
pub(crate) mod registry;
pub(crate) mod settings;
pub(crate) mod state;
mod untried;
