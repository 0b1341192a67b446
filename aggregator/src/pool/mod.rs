//! One pool at run time.

pub(crate) mod heard;
pub(crate) mod state;
