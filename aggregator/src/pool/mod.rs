//! Pools at run time.
//!
//! Input: lists of endpoints (`membership`), outcomes of scrapes, and reports of proxies. Output:
//! tables (`publication`).
//!
//! [`registry`] has the pools. Each is a [`state::PoolState`], which ties these parts together:
//! what is known (`estimator`), what is still missing (`readiness`), why pages are missing
//! (`reasons`), and what is published. `declared` adds and removes the pools that a cluster
//! declares.

pub(crate) mod declared;
mod estimator;
mod membership;
pub(crate) mod publication;
mod readiness;
mod reasons;
pub(crate) mod registry;
pub(crate) mod settings;
pub(crate) mod state;
mod untried;
