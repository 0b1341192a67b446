//! What the newest table says, as a decision needs it: endpoints by index, indexes for drawing, and
//! the places of keys.

pub(crate) mod choosable;
pub(crate) mod holders;
pub(crate) mod key_ranks;
pub(crate) mod row;
pub(crate) mod signals;
pub(crate) mod snapshot;
pub(crate) mod spread;
pub(crate) mod water_level_index;
