//! Reads typed settings from a JSON value, and reports all problems at once.
//!
//! - **Comes in:** a [`serde_json::Value`] that a person wrote.
//! - **Goes out:** typed fields. Then [`Settings::finish`] returns either the finished value or
//!   *all* [`Problems`]: unknown fields (with the nearest known name), wrong types, values out of
//!   range, missing fields.
//! - **Never:** I/O, a panic, an echo of more than a few dozen characters of the input.
//!
//! A reader asks for fields one by one. A field with a problem yields a placeholder, so that
//! reading goes on. `finish` is the only way to get the result. After a problem it returns no
//! value, so a placeholder cannot be used by mistake.
//!
//! ```
//! use trimtab_settings::Settings;
//!
//! struct Sync { pool: String, wait_ms: u64 }
//!
//! fn read(value: &serde_json::Value) -> Result<Sync, trimtab_settings::Problems> {
//!     let s = Settings::new(value);
//!     let sync = Sync {
//!         pool: s.string("pool").hint("name a pool of the aggregator").required(),
//!         wait_ms: s.u64("wait_ms").range(1..=30_000).default(10_000),
//!     };
//!     s.finish(sync)
//! }
//!
//! let problems = read(&serde_json::json!({"wait_ms": 0, "pol": "chat"})).err().unwrap();
//! assert_eq!(problems.len(), 3); // `pool` is missing, `wait_ms` out of range, `pol` unknown
//! ```
//!
//! Rejected: Serde's `deny_unknown_fields`. It stops at the first problem, and names neither path
//! nor fix.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::indexing_slicing)]

mod address;
pub mod describe;
mod duration;
mod field;
mod nearest;
mod problem;
mod settings;

pub use address::{NoAddress, address};
pub use field::Field;
pub use problem::{Problem, Problems};
pub use settings::Settings;
