//! The rule: which endpoints are considered, and what a request would cost at each.

pub(crate) mod candidates;
pub(crate) mod cost;
pub(crate) mod fallback;
pub(crate) mod noise;
pub(crate) mod policy;
pub(crate) mod price;
pub(crate) mod water_level;
pub(crate) mod weighing;
