//! The routing decision.
//!
//! Comes in: the time, a seeded generator, the facts of one request, a [`Snapshot`] of the pool and this proxy's own
//! in-flight work. Goes out: a [`Decision`] with its [`Reason`]. Never: a clock, entropy, I/O, logging, serde, a panic.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod candidates;
mod config;
mod cost;
mod decision;
mod fallback;
#[cfg(test)]
mod golden;
mod inflight;
mod picker;
mod placement;
mod request;
mod rng;
mod snapshot;
mod time;

pub use config::Config;
pub use decision::{Choices, Decision, Reason};
pub use inflight::{OwnWork, Ticket};
pub use picker::Picker;
pub use request::{Adapter, Conversation, Prefix, Request};
pub use rng::Rng;
pub use snapshot::{EndpointId, EndpointLoad, PoolFacts, Snapshot, State};
pub use time::Millis;
