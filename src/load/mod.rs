//! A load client for OpenAI-compatible chat completions.
//!
//! It takes sessions of a workload and the routes to send them by, and returns one [`Record`] per
//! request. It never retries. No request waits for another session. So requests pile up when a
//! server is too slow, as they do in production.

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
