//! The load table and the proxies' report.
//!
//! Comes in: a [`Table`] or a [`Report`], or bytes from the network. Goes out: bytes, or a checked value.
//! Never: an allocation beyond [`limits`], a panic, a value out of its documented range.
//!
//! A signal that is missing is `None`, never zero. Ages are relative milliseconds, never clocks of another machine.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod age;
mod check;
mod columns;
mod decode;
mod encode;
mod error;
pub mod limits;
mod report;
#[cfg(feature = "snapshot")]
mod snapshot;
mod table;
mod wire;

pub use age::with_age;
pub use error::DecodeError;
pub use report::{EndpointReport, Report};
#[cfg(feature = "snapshot")]
pub use snapshot::{endpoint_id, snapshot};
pub use table::{Class, Demand, Endpoint, Role, State, Table, Version};
