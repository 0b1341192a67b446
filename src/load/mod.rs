//! A load client for OpenAI-compatible chat completions.
//!
//! Comes in: sessions of a workload and the routes to send them by. Goes out: one [`Record`] per request. Never: a retry,
//! or a request that waits for another session; what a server does not keep up with piles up where it would in production.

mod body;
mod client;
mod driver;
mod record;
mod route;
mod sse;

pub use body::ChatBody;
pub use client::{Answer, Client, Failure};
pub(crate) use client::{DECISION_HEADER, UPSTREAM_HEADER};
pub use driver::{Lane, Pace, Plan, drive};
pub use record::{Progress, Record};
pub use route::{Balancer, Route};
pub use sse::{Event, SseReader, Usage};
