//! The library of the `trimtab` program. The tests and benches of this package use it too.

pub mod cli;
pub mod clients;
pub mod demo;
pub mod load;
mod plot;
pub mod process;
pub mod proxy;
