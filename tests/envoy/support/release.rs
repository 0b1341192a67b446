//! The releases of Envoy on which the filter is tested.

use std::env;
use std::path::PathBuf;

/// A release of Envoy. Tests that do not depend on it run on the usual one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The oldest supported release.
    Oldest,
    /// The newest supported release.
    Newest,
}

/// Both releases.
pub(crate) const RELEASES: [Release; 2] = [Release::Oldest, Release::Newest];

impl Release {
    /// Returns the path of the program.
    pub(crate) fn binary(self) -> PathBuf {
        let name = match self {
            Self::Oldest => "TRIMTAB_ENVOY_OLDEST",
            Self::Newest => "TRIMTAB_ENVOY_NEWEST",
        };
        env::var_os(name)
            .unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test --only envoy`"))
            .into()
    }
}
