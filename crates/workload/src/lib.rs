//! Seeded request streams: who asks what, and when.
//!
//! Comes in: a [`Workload`] (a mix of [`Shape`]s with an arrival process) or a [`trace`], and a seed. Goes out: an endless
//! iterator of [`Session`]s with start times; a session is itself an iterator of [`Turn`]s. Never: I/O, a clock, entropy.
//!
//! Sessions arrive *open loop*: they start when the stream says, however slow the servers are. Within a session the loop
//! is *closed*: turn `n + 1` may be sent [`Turn::think_s`] after turn `n` ended, and only the driver knows when that was.
//! Every session draws from a generator of its own, so what it asks does not depend on the driver's speed: three lanes
//! that run the same stream see the same sessions, turn by turn.
//!
//! Prompts are *structured*: lists of [`Segment`]s, each an identity and a number of tokens. The same structure becomes
//! [`block_hashes`] for a simulated engine and words for a real HTTP body ([`Segment::write_words`]).
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
