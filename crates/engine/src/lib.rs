//! A model of an LLM server with continuous batching. The caller (the driver) advances it step by
//! step.
//!
//! - **Comes in:** requests (token counts and hashes of their blocks), and the moments at which the
//!   driver begins and ends a step.
//! - **Goes out:** how long each step takes, and which requests were admitted, got a token, were
//!   preempted or finished.
//! - **Never:** a clock, I/O, entropy, a thread, a panic. Two engines that get the same calls
//!   answer the same.
//!
//! The model follows vLLM's V1 scheduler:
//!
//! - One forward pass ("step") at a time, with chunked prefill under a token budget.
//! - First come, first served.
//! - KV memory in blocks of [`BLOCK_TOKENS`] tokens. An LRU prefix cache with reference counts.
//! - When memory runs out, the youngest sequence is preempted and recomputed later.
//! - LoRA slots.
//!
//! Where the model is simpler than vLLM, the item says so.
//!
//! The driver owns time. The same engine runs on the wall clock (sleep for `duration_s`, then
//! finish the step) and in virtual time (schedule an event `duration_s` later):
//!
//! ```
//! use trimtab_engine::{Engine, Event, Profile, Request};
//!
//! let mut engine = Engine::new(Profile::named("h100").unwrap())?;
//! engine.submit(Request { id: 7, prompt_tokens: 1_000, output_tokens: 3, chain: vec![], adapter: None })?;
//! let (mut now_s, mut events) = (0.0, vec![]);
//! while let Some(plan) = engine.begin_step(&mut events) {
//!     now_s += plan.duration_s;
//!     engine.finish_step(&mut events);
//! }
//! assert!(matches!(events.last(), Some(Event::Token { id: 7, produced: 3, finished: true })));
//! assert!(now_s > 0.05);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Cost
//! A step costs O(running sequences + blocks of newly admitted requests). It looks at no more than
//! 256 requests of the queue, and never walks the cache. A request that does not fit is tried again
//! only after memory was given back.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod adapters;
mod blocks;
mod engine;
mod profile;
mod request;
mod sequence;
mod stats;

pub use engine::{Engine, StepPlan};
pub use profile::{Profile, ProfileError};
pub use request::{Event, Request, SubmitError};
pub use stats::{Counters, Gauges};

/// Tokens in one block of the KV cache. The same as vLLM's default for CUDA.
pub const BLOCK_TOKENS: u32 = 16;
