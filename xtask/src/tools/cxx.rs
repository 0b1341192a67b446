//! Obtains a C++ compiler for libFuzzer.

use anyhow::{Result, bail};

use super::wasm_target::apt_install;
use crate::{project, tools};

/// Finds a compiler, or installs Debian's.
pub(crate) fn obtain() -> Result<()> {
    let has_one = || {
        ["c++", "g++", "clang++"]
            .iter()
            .any(|name| project::on_path(name).is_some())
    };
    if has_one() || std::env::var_os("CXX").is_some() {
        return Ok(());
    }
    if project::on_path("apt-get").is_none() || !tools::is_root() {
        bail!(
            "no C++ compiler, which libFuzzer is built with: install one (Debian: apt-get install g++)"
        );
    }
    apt_install(&["g++"])
}
