//! A proxy-wasm host (ABI 0.2.1) on wasmtime, for tests and for `trimtab proxy`.
//!
//! - **Comes in:** a compiled filter, and what happens to a proxy: requests, ticks, answers of
//!   call-outs.
//! - **Goes out:** the host runs the filter's callbacks, answers its hostcalls as Envoy does, and
//!   returns what the filter lets through as [`Effect`]s.
//! - **Never:** a decision of its own, a panic, a call into a VM that has trapped.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod abi;
mod drive;
mod error;
mod headers;
mod host;
mod hostcalls;
mod module;
mod script;
mod scripted_proxy;
mod shared;
mod stream;
mod vm;
mod world;

pub use abi::{Action, BufferType, Direction, LogLevel, MapType, MetricType, Status};
pub use drive::{Exchange, RequestBuilder};
pub use error::HostError;
pub use headers::{HeaderMap, MalformedPairs};
pub use module::{Limits, Module};
pub use script::{Recorded, Script};
pub use scripted_proxy::{ScriptedProxy, Worker, ready_filter};
pub use shared::{Metric, Shared};
pub use stream::{Effect, Part};
pub use vm::{Options, Stray, Vm};
pub use world::{CallAnswer, HttpCall, World};
