//! What the command line and the tests share.

pub mod cli;
pub mod clients;
pub mod demo;
pub mod load;
mod plot;
pub mod process;
pub mod proxy;
