//! The places of the project, its artefacts, and the user's cache folder.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Returns the root of the workspace, which is the parent of this package.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Returns the path of the filter that proxies load.
pub(crate) fn filter() -> PathBuf {
    root().join("target/trimtab/filter.wasm")
}

/// Returns the target folder of checks and tests for wasm32. It is apart from the native one, so
/// that the two never wait for each other's lock.
pub(crate) fn wasm_target_dir() -> PathBuf {
    root().join("target/wasm32")
}

/// Returns the target folder of the filter's module, which nothing else uses. Cargo names a
/// `cdylib` without a hash. So any other build of the package in the same folder (with another
/// profile's crate types, or by hand) would replace the module, and cargo would take that one for
/// fresh.
pub(crate) fn filter_target_dir() -> PathBuf {
    root().join("target/trimtab/build")
}

/// Returns the folder of obtained tools, which all clones of one user share:
/// `$XDG_CACHE_HOME/trimtab/tools` or `~/.cache/trimtab/tools`.
pub(crate) fn tools_dir() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            let home = env::var_os("HOME")
                .context("neither XDG_CACHE_HOME nor HOME is set: set one, tools are kept there")?;
            Path::new(&home).join(".cache")
        }
    };
    Ok(cache.join("trimtab/tools"))
}

/// Returns the first executable of this name on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    all_on_path(name).into_iter().next()
}

/// Returns every executable of this name on the PATH, in its order.
pub(crate) fn all_on_path(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .filter(|file| file.is_file())
        .collect()
}

/// Returns the version of a package in Cargo.lock.
pub(crate) fn locked_version(package: &str) -> Result<String> {
    let path = root().join("Cargo.lock");
    let lock = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    version_in_lock(&lock, package).with_context(|| format!("Cargo.lock has no package {package}"))
}

fn version_in_lock(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| **line != *name);
    lines.next()?;
    let version = lines
        .next()?
        .strip_prefix("version = \"")?
        .strip_suffix('"')?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_package_comes_from_its_own_entry() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"2.1.3\"\n";
        assert_eq!(version_in_lock(lock, "a").as_deref(), Some("2.1.3"));
        assert_eq!(version_in_lock(lock, "a-b").as_deref(), Some("1.0.0"));
        assert_eq!(version_in_lock(lock, "b"), None);
    }

    #[test]
    fn the_root_is_the_folder_of_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
