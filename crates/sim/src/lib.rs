//! Simulates a fleet under a workload in virtual time, and gives the latencies.
//!
//! - **Comes in:** a [`Scenario`], a [`Rule`], a load and a seed.
//! - **Goes out:** a [`Run`]. It is the same to the bit whenever and wherever it is computed.
//! - **Never:** a wall clock, entropy, I/O. The caller gives a trace as a value.
//!
//! Decision, estimate, report and format are the code that ships: rows come from
//! [`trimtab_estimate::Pool`], tables travel as the bytes of [`trimtab_loadtable`], and workers
//! decide and report by [`trimtab_report::Books`]. A [`trimtab_report::Merge`] adds up the reports
//! of a proxy's workers. Servers are [`trimtab_engine::Engine`]s. Two parts are modelled: the calls
//! of a proxy (`proxy`) and the aggregator's loop (`aggregator`). Leases are left out: the first
//! worker of a proxy has the lease for ever.
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
mod worker;
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
