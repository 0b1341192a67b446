//! Obtains a registry of images and a client of it, for the tests of images.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::project;
use crate::tools::{is_root, wasm_target};

/// A registry, and `skopeo`.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) server: PathBuf,
    pub(crate) skopeo: PathBuf,
}

/// Takes both from the PATH. Installs Debian's packages first where they are missing.
pub(crate) fn obtain() -> Result<Registry> {
    Ok(Registry {
        server: program("docker-registry")?,
        skopeo: program("skopeo")?,
    })
}

/// Returns a program that Debian has in a package of the same name.
fn program(name: &str) -> Result<PathBuf> {
    if let Some(path) = project::on_path(name) {
        return Ok(path);
    }
    if project::on_path("apt-get").is_some() && is_root() {
        wasm_target::apt_install(&[name])?;
    }
    let missing = || format!("no {name} on the PATH; install it (Debian: {name})");
    project::on_path(name).with_context(missing)
}
