//! Turns a metrics page into an [`estimate::Sample`](trimtab_estimate::Sample).
//!
//! Data passes through these modules:
//!
//! - `lines` keeps the lines whose name some signal needs. It looks names up by hash on the raw
//!   bytes; the rest of a 60 KB page is never decoded.
//! - `engines` says, as data, which series of which engine is which signal.
//! - `signals` folds the series of several ranks and processes into one number, by the rule that
//!   `rules` has for the signal.
//! - `processes` remembers what earlier pages showed of the processes behind a page.
//!
//! Rejected: the crate prometheus-parse. Its names are `\w+`, so `vllm:num_requests_running` is not
//! a sample. It also cuts label values at commas, and lists of LoRA adapters contain commas. The
//! tests use it as a second opinion.
//!
//! This module never panics, uses memory in proportion to the page at most, and makes no sample of
//! half a line (see [`Page::complete`]).

mod adapters;
mod engines;
mod lines;
mod processes;
mod rules;
mod signals;

pub use engines::Engine;
pub use lines::Page;
pub use processes::Processes;
pub use signals::{Reading, read, read_on};
