//! Obtains a registry of images and a client of it, for the tests of images.

use std::path::PathBuf;

use anyhow::Result;

use crate::tools::from_debian;

/// A registry, and `skopeo`.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) server: PathBuf,
    pub(crate) skopeo: PathBuf,
}

/// Takes both from the PATH. Installs Debian's packages first where they are missing.
pub(crate) fn obtain() -> Result<Registry> {
    Ok(Registry {
        server: from_debian("docker-registry", "docker-registry")?,
        skopeo: from_debian("skopeo", "skopeo")?,
    })
}
