//! The aggregator: scrapes model servers and publishes the load table.
//!
//! Comes in: lists of endpoints (file, DNS, Kubernetes, configuration), model servers' metrics pages, proxies' reports. Goes out: one
//! [`Table`](trimtab_loadtable::Table) per pool, to proxies by long poll and to people as JSON; metrics and readiness of its own.
//! Never: a choice of endpoint (it does not depend on the crate that makes them), a place in the path of requests, a table
//! that a lying server or proxy could stop.
//!
//! Modules in the order in which data moves: [`config`] -> [`members`] -> `scrape` -> [`page`] -> `pool` (which
//! holds [`trimtab_estimate::Pool`]) -> `serve`. [`App`] ties them together; it is what tests and the command line start.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod app;
pub mod cli;
pub mod config;
pub mod members;
mod metrics;
mod pool;
mod scrape;
mod serve;
pub mod yaml;

pub use app::{App, StartError};
pub use config::Config;
pub use scrape::page;
pub use serve::role::Role;
