//! The aggregator: scrapes model servers and publishes a load table for each pool.
//!
//! Input: lists of endpoints (from configuration, a file, DNS or Kubernetes), metrics pages of
//! model servers, and reports of proxies. Output: one [`Table`](trimtab_loadtable::Table) per pool,
//! to proxies by long poll and to people as JSON; also its own metrics and readiness.
//!
//! The aggregator never chooses an endpoint: it does not depend on the crate that does. It is not
//! in the path of requests. No page and no report can stop the tables.
//!
//! Modules in the order in which data passes through them: [`config`] -> [`members`] -> `scrape` ->
//! [`page`] -> `pool` (which holds [`trimtab_estimate::Pool`]) -> `serve`. [`App`] ties them
//! together. Tests and the command line start it.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod app;
pub mod cli;
pub mod config;
pub mod members;
mod metrics;
mod pem;
mod pool;
mod scrape;
mod serve;
pub mod yaml;

pub use app::{App, StartError};
pub use config::Config;
pub use metrics::example_page;
pub use scrape::page;
pub use serve::role::Role;
