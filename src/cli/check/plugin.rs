//! Tells plugins of Trimtab from others.

use serde_json::{Map, Value};

/// Whether an object that holds these settings is a plugin of ours.
pub(super) fn is_ours(object: &Map<String, Value>, settings: &Value) -> bool {
    settings.get("aggregator").is_some() || named_ours(object)
}

pub(super) fn named_ours(object: &Map<String, Value>) -> bool {
    let names = ["name", "root_id", "pluginName"]
        .into_iter()
        .filter_map(|key| object.get(key)?.as_str());
    names.into_iter().any(|name| name.contains("trimtab"))
}
