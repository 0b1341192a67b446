//! What the command line and the tests share.

pub mod process;
pub mod proxy;
