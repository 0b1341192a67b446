//! A plugin in one VM: its configuration, its pools, what it knows of the proxy.

pub(crate) mod body_hold;
pub(crate) mod deciding;
pub(crate) mod registry;
pub(crate) mod route;
pub(crate) mod unplaced_paths;
