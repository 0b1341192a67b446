//! Rules of others, against closed forms and naive versions of what they do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod epp;
mod epp_memory;
mod pool;
mod round_robin;
mod two_choices;
