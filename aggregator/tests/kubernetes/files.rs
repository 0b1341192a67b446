//! Where the files of the project are.

use std::path::{Path, PathBuf};

/// Returns a path of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
