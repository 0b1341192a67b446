//! The routing decision: chooses an endpoint for one request by a load table and the picker's own
//! work.
//!
//! How data passes through:
//!
//! 1. The caller makes a [`Snapshot`] of each table and hands it to [`Picker::on_table`].
//! 2. The caller describes a request as a [`Request`]. Then it calls [`Picker::choose`] with the
//!    time and a seeded [`Rng`].
//! 3. The rule, [`WaterLevel`], gathers a few candidates: the endpoints where the request's keys
//!    belong, and endpoints drawn from those with the shortest waits.
//! 4. The rule adds up what the request would cost at each candidate, in seconds.
//! 5. `choose` returns a [`Decision`]: up to three endpoints, the cheapest first, and the
//!    [`Reason`].
//! 6. The caller sends the request and says so: [`Picker::on_sent`] returns a [`Ticket`]. The
//!    caller hands the ticket back at the first byte and at the end of the request.
//!
//! The rule takes a step down as the table ages:
//!
//! - fresh table: predicted cost in seconds;
//! - table older than [`Config::table_max_age_ms`]: the picker's own requests alone;
//! - no table: no opinion, and the proxy balances on its own.
//!
//! The crate has no clock, no entropy, no I/O, no logging and no serde, and does not panic. Numbers
//! that reach a decision use only `+ - x /` and `libm`, so native and wasm builds agree to the bit.
//!
//! Where to read on: `rule/water_level.rs` has the rule and `rule/cost.rs` its terms.
//! docs/algorithm.md has the formulas and the sources of the constants.
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
//! picker.on_done(ticket);
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

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
