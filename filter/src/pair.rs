//! The form with two plugins: tap reads the body and decides, pick holds the headers and names the
//! destination.

pub(crate) mod messages;
pub(crate) mod pick_role;
pub(crate) mod tap_role;
