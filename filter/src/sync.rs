//! The exchange of reports and tables: between the workers of the proxy, and with the aggregator.

pub(crate) mod calls;
pub(crate) mod exchange;
pub(crate) mod lease;
pub(crate) mod long_poll;
pub(crate) mod merge;
pub(crate) mod report_call;
pub(crate) mod shared;
pub(crate) mod unheard;
pub(crate) mod wakeup;
