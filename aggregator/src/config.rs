//! The operator's configuration: YAML (or JSON, which is YAML). All of it is validated before
//! anything starts.

mod files;

pub use crate::pool::declared::PoolsFrom;
pub use crate::pool::settings::PoolConfig;
pub use crate::scrape::settings::{Scrape, Tls};
pub use crate::serve::allow::{Allow, ClientCertificates, Pattern, ServiceAccounts};
pub use crate::serve::settings::{Listen, ListenerSettings, Tls as ListenerTls};
pub use files::{FileFindings, check_files};

use crate::yaml::yaml;
use serde_json::Value;
use trimtab_settings::{Problems, Settings};

/// A validated configuration. Each part reads its own section.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The listeners, and whom each serves.
    pub listen: Listen,
    /// How many proxies per pool may have their reports remembered and their calls waiting.
    pub max_proxies: usize,
    /// The pools. Their names are unique.
    pub pools: Vec<PoolConfig>,
    /// The source of further pools. Absent: there is none, and `pools` lists at least one pool.
    pub pools_from: Option<PoolsFrom>,
}

impl Config {
    /// Reads and validates a document.
    ///
    /// # Errors
    /// Every problem with its path, value, reason and fix. A document that is not YAML is one
    /// problem.
    pub fn from_yaml(text: &str) -> Result<Self, Problems> {
        let value = yaml(text)?;
        if value.get("pools").is_none() && crate::members::check_list(&value).is_some() {
            let fix = "name the file in one: pools: [{name: .., discovery: {file: {path: ..}}}]";
            return Err(Problems::one(
                "",
                "is a list of endpoints and no configuration",
                fix,
            ));
        }
        let s = Settings::new(&value);
        let pools_from = PoolsFrom::read(&s);
        let pools = s
            .about(
                "The pools, one or more. Each is a set of model servers that \
                serve the same models. With `pools_from` there may be none.",
            )
            .objects("pools")
            .hint("list at least one pool with name and discovery");
        let pools = match pools_from {
            Some(_) => pools.default(Vec::new()),
            None => pools.required(),
        };
        let pools: Vec<PoolConfig> = pools.iter().map(PoolConfig::read).collect();
        let none = s.value("pools").optional().and_then(Value::as_array);
        if pools_from.is_none() && none.is_some_and(Vec::is_empty) {
            s.problem("there is no pool", "list at least one under `pools`");
        }
        for (index, pool) in pools.iter().enumerate() {
            if pools
                .iter()
                .take(index)
                .any(|before| before.name == pool.name)
            {
                s.problem(
                    format!("two pools are called `{}`", pool.name),
                    "give each pool a name of its own",
                );
            }
        }
        let config = Self {
            listen: Listen::read(&s),
            max_proxies: s
                .about(
                    "Proxies per pool whose reports are remembered, and whose calls \
                    may wait at the same time.",
                )
                .usize("max_proxies")
                .range(1..=100_000)
                .default(10_000),
            pools,
            pools_from,
        };
        s.finish(config)
    }
}
