//! One pool of a plugin in one VM: its table, its decisions, its requests in flight.

pub(crate) mod choice;
pub(crate) mod explain;
pub(crate) mod kept_names;
pub(crate) mod outcome;
pub(crate) mod outcome_sampling;
pub(crate) mod override_check;
pub(crate) mod probing;
pub(crate) mod root;
pub(crate) mod table;
pub(crate) mod worker;
