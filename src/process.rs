//! Starting real programs, for the demo and for the tests.
//!
//! Comes in: a command or an Envoy configuration. Goes out: a running program with its log and, for Envoy, its addresses and
//! statistics. Never: a program left behind. Each ends when its value is dropped, and by the kernel's hand when this
//! process dies without a chance to drop anything.

pub mod child;
pub mod envoy;
mod http;
mod spawner;

pub use child::Child;
pub use envoy::{Envoy, find_envoy};
