//! Starts real programs for the demo and for the tests.
//!
//! [`Child`] takes a command and runs it with a log. [`Envoy`] takes a configuration and adds
//! addresses and statistics. No program is left behind. Each one ends when its value is dropped. If
//! this process dies without dropping anything, the kernel kills its children. That needs
//! `setpriv`.

pub mod child;
pub mod envoy;
mod http;
mod spawner;

pub use child::Child;
pub use envoy::{Envoy, find_envoy};
