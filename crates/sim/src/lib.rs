//! Simulates a fleet under a workload in virtual time, and gives the latencies.
//!
//! - **Comes in:** a [`Scenario`], a [`Rule`], a load and a seed.
//! - **Goes out:** a [`Run`]. It is the same to the bit whenever and wherever it is computed.
//! - **Never:** a wall clock, entropy, I/O. The caller gives a trace as a value.
//!
//! Decision, estimate and format are the code that ships: rows come from
//! [`trimtab_estimate::Pool`], tables travel as the bytes of [`trimtab_loadtable`], and proxies
//! decide by [`trimtab_pick::Picker`]. Servers are [`trimtab_engine::Engine`]s. Two parts are
//! modelled: a proxy's report (`proxy`) and the aggregator's loop (`aggregator`). Leases and the
//! merging of workers' reports are left out.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod aggregator;
pub mod batch;
pub mod capacity;
mod client;
mod clock;
mod decider;
mod invalid;
mod measure;
mod oracle;
mod outcome;
pub mod parse;
mod proxy;
pub mod report;
mod rule;
mod rules;
mod scenario;
mod server;
mod traffic;
mod watch;
mod world;

pub use invalid::Invalid;
pub use outcome::{Prediction, Run, TrafficCounts, percentile};
pub use rule::Rule;
pub use scenario::{
    Central, Change, Churn, Deciders, Errors, Group, Page, Reports, Scenario, Slo, Source, Tables,
    Traffic,
};
pub use world::run;

/// The name of the only pool.
const POOL: &str = "sim";
/// The pool's placement key. It need not be secret here: nobody aims at a simulated endpoint.
const PLACEMENT_KEY: [u8; 16] = *b"trimtab simulate";
