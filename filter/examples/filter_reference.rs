//! Prints what docs/configuration.md and docs/metrics.md are generated from, as JSON: the settings
//! and the metrics of the filter. `cargo xtask docs` runs it.

use serde_json::{Value, json};
use trimtab_filter::{Config, names};
use trimtab_settings::Problems;
use trimtab_settings::describe::{Setting, collect};

const ONE_POOL: &str = r#"{"pool": "chat", "aggregator": {"cluster": "trimtab"}}"#;
const POOLS: &str = r#"{"pools": [{"pool": "chat"}], "aggregator": {"cluster": "trimtab"}}"#;

fn main() -> Result<(), Problems> {
    let one = Config::parse(ONE_POOL.as_bytes())?;
    let mut read = Ok(one.clone());
    let settings = collect(|| {
        for text in [ONE_POOL, POOLS] {
            read = Config::parse(text.as_bytes());
        }
    });
    read?;
    let settings: Vec<Value> = settings.iter().map(Setting::json).collect();
    let metrics = names::all().map(|metric| {
        json!({
            "name": metric.name,
            "kind": metric.kind,
            "help": metric.help,
            "labels": metric.tags,
        })
    });
    let metrics: Vec<Value> = metrics.collect();
    let printed = json!({
        "settings": settings,
        "paths": one.paths,
        "session_headers": one.session_headers,
        "metrics": metrics,
    });
    println!("{printed}");
    Ok(())
}
