//! What this picker has seen itself: requests in flight, endpoints that failed, conversations that
//! went elsewhere, and prompts.

pub(crate) mod health;
pub(crate) mod ledger;
mod mean_part;
pub(crate) mod new_part;
pub(crate) mod pending;
mod recurrence;
mod seen_keys;
pub(crate) mod shared_depth;
pub(crate) mod text_turns;
pub(crate) mod ticket;
pub(crate) mod traffic;
pub(crate) mod whereabouts;
