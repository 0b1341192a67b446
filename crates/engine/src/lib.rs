//! A pure, step-driven model of a continuous-batching LLM server.
//!
//! **Comes in:** requests (token counts and the hashes of their blocks) and the moments at which the driver says that a step begins
//! and ends. **Goes out:** how long each step takes, and which request was admitted, got a token, was preempted or finished.
//! **Never:** a clock, I/O, entropy, a thread, a panic. Two engines that are given the same calls answer the same.
//!
//! The model is that of vLLM's V1 scheduler: one forward pass ("step") at a time, chunked prefill under a token budget, first come
//! first served, KV memory in blocks of [`BLOCK_TOKENS`] tokens, an LRU prefix cache with reference counts, preemption of the
//! youngest by recompute, LoRA slots. Where the model is simpler than the original, the item concerned says so.
//!
//! The driver owns time. The same engine runs on the wall clock (sleep `duration_s`, then finish) and in virtual time (schedule an
//! event `duration_s` later):
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
//! A step costs O(running sequences + newly admitted blocks). It never walks the cache or the queue: a head of the queue that does
//! not fit is looked at again only after memory was given back.

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

/// Tokens in one KV-cache block. vLLM's default for CUDA.
pub const BLOCK_TOKENS: u32 = 16;
