//! The load table and the proxies' report: their values, their bytes, and what a reader accepts.
//!
//! How data passes through:
//!
//! 1. The aggregator fills a [`Table`] and calls [`Table::encode`]. A proxy fills a [`Report`] and
//!    calls [`Report::encode`].
//! 2. The reader calls `decode`. It checks size and format, reads the columns, and checks every
//!    value.
//! 3. With the feature `snapshot`, `snapshot` makes what a picker needs from a table. With the
//!    feature `json`, `json` shows tables and reports to people.
//!
//! The crate never allocates beyond [`limits`], never panics, and never returns a value outside its
//! documented range. A signal that is missing is `None`, never zero. Ages are relative
//! milliseconds, never clocks of another machine.
//!
//! # On the wire
//! Protocol Buffers with one packed column per signal. `loadtable.proto` in this crate's folder is
//! the specification, for any language. An endpoint takes about 25 bytes, 10 of them for what
//! changes with every table.
//!
//! # Compatibility
//! A reader skips fields that it does not know, and takes missing columns as absent. So signals can
//! be added under the same format number. A change that an old reader would misread raises the
//! number, which every reader checks first ([`DecodeError::Format`]). Readers are updated before
//! writers (docs/wire.md#compatibility).
//!
//! # Example
//! ```
//! use trimtab_loadtable::{Demand, Endpoint, Table, Version};
//!
//! let table = Table {
//!     pool: "llama-8b".into(),
//!     version: Version { epoch: 7, sequence: 1 },
//!     age_ms: 0,
//!     deciders: None,
//!     demand: Demand::default(),
//!     placement_key: [1; 16],
//!     classes: vec![],
//!     adapters: vec![],
//!     endpoints: vec![Endpoint { address: "10.0.0.1:8000".into(), wait_ms: Some(40), ..Endpoint::default() }],
//!     heat: None,
//!     moved: None,
//!     probes: vec![],
//!     held: vec![],
//! };
//! let bytes = table.encode();
//! assert_eq!(Table::decode(&bytes)?, table);
//! assert!(Table::decode(&bytes[..bytes.len() - 1]).is_err());
//! # Ok::<(), trimtab_loadtable::DecodeError>(())
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod age;
mod check;
mod columns;
mod decode;
mod encode;
mod error;
#[cfg(test)]
mod golden;
#[cfg(feature = "json")]
pub mod json;
pub mod limits;
#[cfg(test)]
mod refused;
mod report;
pub mod seen;
#[cfg(feature = "snapshot")]
mod snapshot;
mod table;
mod wire;

pub use age::with_age;
pub use error::DecodeError;
pub use report::{EndpointReport, PrefixCount, Report};
pub use seen::{ErrorKind, Seen, What};
#[cfg(feature = "snapshot")]
pub use snapshot::{endpoint_id, snapshot, snapshot_after};
pub use table::{Class, Demand, Doubt, Endpoint, Hot, Moved, Probe, Role, State, Table, Version};
