//! Takes files out of published Go modules, and keeps programs that are built of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools::go;
use crate::{project, run};

/// A file with definitions of kinds, in a published Go module.
pub(crate) struct Definition {
    /// Name of the folder in the cache, before the version.
    pub(crate) folder: &'static str,
    pub(crate) module: &'static str,
    pub(crate) version: &'static str,
    /// Paths in the module.
    pub(crate) paths: &'static [&'static str],
    /// Name of the file in the cache.
    pub(crate) file: &'static str,
}

/// Returns the path of the file in the cache folder. Fetches the module first if necessary.
pub(crate) fn definition(of: &Definition) -> Result<PathBuf> {
    let dir = project::tools_dir()?.join(format!("{}-{}", of.folder, of.version));
    let path = dir.join(of.file);
    if !path.is_file() {
        run::step(of.folder, &format!("fetch {}", of.version), || {
            run::install_dir(&dir, |partial| {
                let source = download(of.module, of.version)?;
                let folder = Path::new(field(&source, "Dir")?);
                let mut all = Vec::new();
                for path in of.paths {
                    let path = folder.join(path);
                    let read = std::fs::read_to_string(&path);
                    all.push(read.with_context(|| format!("cannot read {}", path.display()))?);
                }
                std::fs::write(partial.join(of.file), all.join("\n---\n"))?;
                Ok(())
            })
        })?;
    }
    Ok(path)
}

/// Returns a program from the cache folder. Builds it there first if necessary.
///
/// - `build`: writes the program into a folder, as a file of this name.
pub(crate) fn built(
    name: &str,
    version: &str,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let dir = project::tools_dir()?.join(format!("{name}-{version}"));
    let path = dir.join(name);
    if !dir.is_dir() {
        let what = format!("build {version} into {} (minutes, once)", dir.display());
        run::step(name, &what, || run::install_dir(&dir, build))?;
    }
    if !path.is_file() {
        bail!(
            "{} has no {name}; remove the folder and try again",
            dir.display()
        );
    }
    Ok(path)
}

/// Downloads a module. Returns what `go` reports about it.
pub(crate) fn download(module: &str, version: &str) -> Result<Value> {
    let mut go = go::command(&["mod", "download", "-json"])?;
    let text = run::output(go.arg(format!("{module}@v{version}")))?;
    serde_json::from_str(&text).with_context(|| format!("go says no JSON of {module}"))
}

/// Returns a member of what [`download`] returns.
pub(crate) fn field<'v>(module: &'v Value, name: &str) -> Result<&'v str> {
    let value = module.get(name).and_then(Value::as_str);
    value.with_context(|| format!("go says no {name} of a module"))
}
