//! Checks the files that a configuration names.

use super::Config;
use crate::members::{Discovery, EndpointFile, file};
use crate::pool::settings::PoolConfig;
use crate::serve::{Checked, check_listeners};
use std::path::Path;

/// What was found out about the files of a configuration, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileFindings {
    /// Why files cannot be used.
    pub problems: Vec<String>,
    /// Files that do not exist yet or cannot be read here. They are no problem: discovery waits for
    /// an endpoint file, and a configuration is often checked on another machine than the one that
    /// has the files. Also what listeners give away to whoever reaches them.
    pub notes: Vec<String>,
}

/// Reads the files from which pools take their endpoints and those of listeners, and tries to open
/// the others. Notes also say which listeners give away what they should not.
#[must_use]
pub fn check_files(config: &Config) -> FileFindings {
    let Checked { problems, notes } = check_listeners(&config.listen);
    let mut findings = FileFindings { problems, notes };
    for pool in &config.pools {
        findings.notes.extend(unreadable(pool));
        let Discovery::File(EndpointFile { path, .. }) = &pool.discovery else {
            continue;
        };
        let (name, shown) = (&pool.name, path.display());
        match file::load(path) {
            Ok(_) => {}
            Err(_) if matches!(path.try_exists(), Ok(false)) => findings.notes.push(format!(
                "pool {name}: {shown} does not exist yet; the pool is not ready until it does"
            )),
            Err(error) => findings.problems.push(format!("pool {name}: {error}")),
        }
    }
    findings
}

/// Returns a note for each file of discovery and scraping that cannot be opened here. The file may
/// exist on another machine, so this is no problem.
fn unreadable(pool: &PoolConfig) -> Vec<String> {
    let name = &pool.name;
    let missing = |(section, field, path): (&'static str, &'static str, &Path)| {
        let error = std::fs::File::open(path).err()?;
        let shown = path.display();
        Some(format!(
            "pool {name}: {section}.{field}: {shown} cannot be read here: {error}"
        ))
    };
    let kubeconfig = match &pool.discovery {
        Discovery::Kubernetes(section) => section.reading.kubeconfig.as_deref(),
        _ => None,
    };
    let kubeconfig = kubeconfig.map(|path| ("discovery", "kubernetes.kubeconfig", path));
    let scrape = pool.scrape.files();
    let scrape = scrape.map(|(field, path)| ("scrape", field, path));
    kubeconfig
        .into_iter()
        .chain(scrape)
        .filter_map(missing)
        .collect()
}
