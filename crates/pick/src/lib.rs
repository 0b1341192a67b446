//! The routing decision.
//!
//! Comes in: the time, a seeded generator, the facts of one request, a [`Snapshot`] of the pool and this proxy's own
//! in-flight work. Goes out: a [`Decision`] with its [`Reason`]. Never: a clock, entropy, I/O, logging, serde, a panic.
//!
//! [`Picker::choose`] is the way in: it gathers a few candidates (where the request's keys belong, and others drawn
//! from those with the shortest waits), adds up what the request would cost on each in seconds, and takes the cheapest. Steps down as the table ages:
//! fresh table, own requests alone, no opinion. Only `+ - x /` and `libm` on numbers that reach a decision, so native
//! and wasm builds agree to the bit.
//!
//! # Example
//! ```
//! use std::rc::Rc;
//! use trimtab_pick::{Config, EndpointId, EndpointLoad, Millis, Picker, PoolFacts, Reason, Request, Rng, Snapshot, State};
//!
//! let endpoint = |id, wait_s| EndpointLoad {
//!     id: EndpointId(id),
//!     state: State::Ready,
//!     wait_s: Some(wait_s),
//!     waiting: None,
//!     running: None,
//!     kv_used: None,
//!     prefill_tokens_per_s: Some(11_000.0),
//!     decode_s_per_sequence: None,
//!     speed: Some(1.0),
//!     adapters: None,
//!     adapter_room: None,
//!     age_ms: 0,
//!     ..EndpointLoad::default()
//! };
//! let mut picker = Picker::new(Config::default());
//! let rows = vec![endpoint(1, 0.2), endpoint(2, 0.0)];
//! picker.on_table(Rc::new(Snapshot::new(rows, PoolFacts::default(), Millis(1_000))), None);
//!
//! let request = Request { prompt_tokens: Some(400), ..Request::default() };
//! let decision = picker.choose(Millis(1_040), &mut Rng::new(7), &request);
//! assert_eq!(decision.reason, Reason::Load);
//! let ticket = picker.on_sent(Millis(1_040), EndpointId(2), &decision.booking);
//! picker.on_done(Millis(1_900), ticket);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod baseline;
mod booking;
mod config;
mod decision;
#[cfg(test)]
mod golden;
mod own;
mod picker;
mod request;
mod rng;
mod rule;
mod table;
mod time;

pub use booking::Booking;
pub use config::Config;
pub use decision::{Choices, Decision, Reason};
pub use own::health::Outcome;
pub use own::ledger::{OwnWork, Sends};
pub use own::ticket::Ticket;
pub use picker::Picker;
pub use request::{Adapter, BLOCK_TOKENS, BLOCKS, Conversation, Prefix, Request};
pub use rng::Rng;
pub use rule::policy::{Policy, View};
pub use rule::water_level::WaterLevel;
pub use table::signals::{EndpointId, EndpointLoad, PoolFacts, State};
pub use table::snapshot::Snapshot;
pub use time::Millis;
