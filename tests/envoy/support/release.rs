//! The releases of Envoy that the filter is tested on.

use std::env;
use std::path::PathBuf;

/// One of them. What does not depend on it runs on the usual one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The oldest.
    Oldest,
    /// The newest.
    Newest,
}

/// Both.
pub(crate) const RELEASES: [Release; 2] = [Release::Oldest, Release::Newest];

impl Release {
    /// The program.
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
