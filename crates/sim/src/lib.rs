//! Fleet, workload and seed become latencies, in virtual time.
//!
//! Comes in: a [`Scenario`], a [`Rule`], a load and a seed. Goes out: a [`Run`], the same to the bit whenever and wherever
//! it is computed. Never: a wall clock, entropy, I/O (a trace is handed in).
//!
//! Nothing of what is judged is modelled: servers are [`trimtab_engine::Engine`]s, rows come from
//! [`trimtab_estimate::Pool`], tables travel as the bytes of [`trimtab_loadtable`], and proxies decide by
//! [`trimtab_pick::Picker`].
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod batch;
pub mod capacity;
mod outcome;
pub mod parse;
pub mod report;
mod rule;
mod scenario;

pub use outcome::{Run, TrafficCounts, percentile};
pub use rule::Rule;
pub use scenario::{
    Change, Churn, Deciders, Errors, Group, Reports, Scenario, Slo, Source, Tables, Traffic,
};
