//! Files that a configuration names.

use crate::members::{Discovery, EndpointFile, file};
use crate::pool::settings::PoolConfig;
use std::path::Path;

/// What the endpoint files of a configuration are like, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileFindings {
    /// Why files cannot be used.
    pub problems: Vec<String>,
    /// Which files do not exist yet. That is no problem: discovery waits for them, and a configuration is often checked on
    /// another machine than the one that has the list.
    pub notes: Vec<String>,
}

/// Reads the files that pools take their endpoints from.
#[must_use]
pub fn check_files(pools: &[PoolConfig]) -> FileFindings {
    let mut findings = FileFindings::default();
    for pool in pools {
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

/// Files for discovery and scraping that are not there. They may be elsewhere, so that is no problem.
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
