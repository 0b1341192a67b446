//! A metrics page becomes an [`estimate::Sample`](trimtab_estimate::Sample).
//!
//! Three steps, in the order of the data: `lines` keeps the lines whose name any signal needs (a hash look-up of the name on the
//! raw bytes; the rest of a 60 KB page is never decoded), `engines` says as data which series of which engine is which
//! signal, `signals` folds the series of several ranks and processes into one number, by the one rule that `rules` has for the signal;
//! `processes` remembers what pages over time tell of the processes behind one.
//!
//! The crate prometheus-parse was tried and is not used: its names are `\w+`, so that `vllm:num_requests_running` is no
//! sample at all, and it cuts label values at commas, which lists of LoRA adapters hold. It serves as a second opinion in
//! the tests.
//!
//! Never: a panic, memory beyond a constant share of the page, a sample out of half a page (see [`Page::complete`]).

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
