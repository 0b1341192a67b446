//! Checks which requests of a proxy the plugin's pools take.

use serde_json::Value;
use trimtab_filter::{Config, PoolSettings};

/// Returns a line for each pool whose `clusters` and `services` fit none of the file's clusters.
///
/// - `clusters`: names of all clusters of the proxy; empty: not known.
pub(super) fn without_cluster(settings: &Value, clusters: &[&str]) -> Vec<String> {
    let has_one = |pool: &PoolSettings| {
        let mut clusters = clusters.iter();
        clusters.any(|cluster| pool.has_cluster(cluster.as_bytes()))
    };
    let pools = Config::read(settings).map_or_else(|_| Vec::new(), |config| config.pools);
    let missing = pools
        .iter()
        .filter(|pool| !clusters.is_empty() && !has_one(pool));
    let line = |pool: &PoolSettings| {
        format!(
            "pool {:?}: the file has no cluster that its `clusters` or `services` name, so it would get no request; it has {}",
            pool.name,
            clusters.join(", ")
        )
    };
    missing.map(line).collect()
}

/// Returns a remark if a pool takes the completion requests to all Services of a mesh that the
/// proxy leads to.
///
/// - `settings`: of a plugin that a control plane puts into proxies.
pub(super) fn takes_all(settings: &Value) -> Option<String> {
    // Pick takes what tap says.
    if settings.get("role").and_then(Value::as_str) == Some("pick") {
        return None;
    }
    let pools = Config::read(settings).ok()?.pools;
    let is_open = |pool: &&PoolSettings| {
        !pool.goes_by_cluster()
            && pool.authorities.is_empty()
            && pool.path_prefixes.is_empty()
            && pool.models.is_empty()
    };
    let pool = pools.iter().find(is_open)?;
    Some(format!(
        "pool {:?} takes the completion requests to every Service that the proxy leads to; name its own: \
         `services: [\"NAMESPACE/NAME:PORT\"]`",
        pool.name
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(conditions: &Value) -> Value {
        let mut settings = json!({"pool": "chat", "aggregator": {"cluster": "c"}});
        let conditions = conditions.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(conditions);
        settings
    }

    #[test]
    fn a_pool_whose_clusters_are_not_there_is_named_with_those_that_are() {
        let there = ["outbound|8000||llama.models.svc.cluster.local", "agg"];
        for conditions in [
            json!({}),
            json!({"services": ["models/llama:8000"]}),
            json!({"clusters": ["nobody", "agg"]}),
        ] {
            let settings = settings(&conditions);
            assert!(without_cluster(&settings, &there).is_empty(), "{settings}");
        }
        let misspelt = settings(&json!({"services": ["model/llama:8000"]}));
        let lines = without_cluster(&misspelt, &there);
        assert!(lines.len() == 1 && lines[0].contains("agg"), "{lines:?}");
        assert!(without_cluster(&misspelt, &[]).is_empty(), "not known");
    }

    #[test]
    fn a_pool_of_a_mesh_without_conditions_is_remarked() {
        assert!(
            takes_all(&settings(&json!({})))
                .unwrap()
                .contains("services")
        );
        for conditions in [
            json!({"services": ["models/llama:8000"]}),
            json!({"clusters": ["a"]}),
            json!({"authorities": ["a"]}),
            json!({"role": "pick"}),
        ] {
            assert_eq!(takes_all(&settings(&conditions)), None, "{conditions}");
        }
    }
}
