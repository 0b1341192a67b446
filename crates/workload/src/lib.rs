//! Request streams from a seed: which sessions start when, and what each asks.
//!
//! - **Comes in:** a [`Workload`] (a mix of [`Shape`]s with an arrival process) or a [`trace`], and
//!   a seed.
//! - **Goes out:** an iterator of [`Session`]s with start times. A workload's never ends. A session
//!   is itself an iterator of [`Turn`]s.
//! - **Never:** I/O, a clock, entropy.
//!
//! Sessions arrive *open loop*: they start at the stream's times, however slow the servers are.
//! Within a session the loop is *closed*: turn `n + 1` may be sent [`Turn::think_s`] after turn `n`
//! ended. Only the driver knows when that was. Each session has a generator of its own, so its
//! content does not depend on the driver's speed. Three lanes that run the same stream see the same
//! sessions, turn by turn.
//!
//! Prompts are *structured*: lists of [`Segment`]s, each with an identity and a number of tokens.
//! The same structure becomes [`block_hashes`] for a simulated engine, and words for a real HTTP
//! body ([`Segment::write_words`]).
//!
//! ```
//! use trimtab_workload::{Arrivals, Workload};
//!
//! let workload = Workload::preset("chat", Arrivals::Poisson { sessions_per_s: 20.0 }).ok_or("no such family")?;
//! let first = workload.stream(7)?.next().ok_or("a stream never ends")?;
//! assert!(first.start_s() > 0.0);
//! assert_eq!(first.count(), 1, "a chat session is one request");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod arrivals;
mod blocks;
mod demand;
mod dist;
mod presets;
mod prompt;
mod rng;
mod session;
mod shape;
mod stream;
pub mod trace;

pub use arrivals::Arrivals;
pub use blocks::block_hashes;
pub use demand::Demand;
pub use dist::Dist;
pub use presets::FAMILIES;
pub use prompt::{Part, Prompt, Role, Segment, WORD_BYTES};
pub use rng::Rng;
pub use session::{Limits, Session, Turn};
pub use shape::{Adapters, Shape, SystemPrompts};
pub use stream::{Component, Invalid, Stream, Workload};
