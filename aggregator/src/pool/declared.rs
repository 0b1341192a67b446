//! Pools that a cluster declares. They come and go with its InferencePools.

use super::registry::Registry;
use super::settings::PoolConfig;
use crate::members::Discovery;
use crate::members::kubernetes::{InferencePools, Kubernetes, Name, Source, pools};
use std::collections::BTreeSet;
use std::sync::Arc;
use trimtab_loadtable::limits;
use trimtab_settings::Settings;

/// How many pools there may be. Others are left out, and the log says so.
const MOST_POOLS: usize = 1_000;
const HINT: &str =
    "write `kubernetes: {namespaces: [default]}`, or `kubernetes: {}` for those of all namespaces";

/// The section `pools_from`.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolsFrom {
    /// Which InferencePools become pools.
    pub kubernetes: InferencePools,
    /// The settings that these pools have in common.
    pub template: PoolConfig,
}

impl PoolsFrom {
    /// Reads the section. `None`: there is no such section.
    pub(crate) fn read(s: &Settings<'_>) -> Option<Self> {
        let section = s
            .about(
                "Further pools: one for each InferencePool of a cluster, called \
                `namespace.name`. They come and go with their InferencePools. \
                Beside `kubernetes` it has what a pool has beside name and \
                discovery. Absent: none.",
            )
            .object("pools_from")
            .hint(HINT)
            .optional()?;
        Some(Self {
            kubernetes: InferencePools::read(
                &section
                    .about("Which InferencePools. Reads inferencepools and pods.")
                    .required_section("kubernetes", HINT),
            ),
            template: PoolConfig::template(&section),
        })
    }

    /// Returns the settings of an InferencePool's pool. Namespaces have no dots, so each pool's
    /// name is unique. `None`: the name is too long for a table.
    fn pool(&self, pool: &Name) -> Option<PoolConfig> {
        let name = format!("{}.{}", pool.namespace, pool.name);
        let discovery = Kubernetes {
            source: Source::InferencePool(pool.clone()),
            reading: self.kubernetes.reading.clone(),
        };
        (name.len() <= limits::NAME_BYTES).then(|| PoolConfig {
            name,
            discovery: Discovery::Kubernetes(Box::new(discovery)),
            ..self.template.clone()
        })
    }
}

/// Starts a pool for each InferencePool, and ends the pools of those that are gone. Pools that
/// `registry` had before stay as they are.
pub(crate) async fn follow(settings: &PoolsFrom, registry: Arc<Registry>) {
    let own: BTreeSet<String> = registry
        .all()
        .iter()
        .map(|pool| pool.name.clone())
        .collect();
    let mut declared = None;
    let mut last_error = None;
    pools::follow(&settings.kubernetes, |listed| match listed {
        Ok(pools) => {
            last_error = None;
            registry.set_missing(None);
            let before = declared.take().unwrap_or_default();
            declared = Some(change(settings, &registry, &own, &before, pools));
        }
        Err(why) => {
            if last_error.as_ref() != Some(&why) {
                tracing::warn!(
                    error = why,
                    "InferencePools could not be listed, keeping those known"
                );
            }
            if declared.is_none() {
                registry.set_missing(Some(format!("no InferencePools listed yet: {why}")));
            }
            last_error = Some(why);
        }
    })
    .await;
}

/// Adds and removes pools so that those of `now` run instead of those of `before`. Returns the
/// names that count as declared.
fn change(
    settings: &PoolsFrom,
    registry: &Registry,
    own: &BTreeSet<String>,
    before: &BTreeSet<Name>,
    now: BTreeSet<Name>,
) -> BTreeSet<Name> {
    let too_many = now.len().saturating_sub(MOST_POOLS);
    let now: BTreeSet<Name> = now.into_iter().take(MOST_POOLS).collect();
    let pool = |name: &Name| settings.pool(name).filter(|pool| !own.contains(&pool.name));
    for pool in before.difference(&now).filter_map(pool) {
        registry.remove(&pool.name);
        tracing::info!(pool = pool.name, "its InferencePool is gone");
    }
    for name in now.difference(before) {
        let Some(pool) = pool(name) else {
            tracing::warn!(pool = %name, "an InferencePool is left out: its name is too long, or that of a pool under `pools`");
            continue;
        };
        match registry.add(&pool) {
            Ok(()) => tracing::info!(pool = pool.name, "there is an InferencePool"),
            Err(error) => {
                tracing::error!(pool = pool.name, %error, "no random numbers from the system");
            }
        }
    }
    if too_many > 0 && *before != now {
        tracing::warn!(too_many, most = MOST_POOLS, "InferencePools are left out");
    }
    now
}
