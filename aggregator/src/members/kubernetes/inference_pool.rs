//! InferencePools of the Gateway API's inference extension, version 1.

use super::section::{Name, Selection};
use super::watch::{Kind, LIST_AGAIN};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::store::Writer;
use kube::{Api, Client};
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "inference.networking.k8s.io";
const PLURAL: &str = "inferencepools";

/// Returns how to ask the API server for InferencePools. `namespace`: absent means all namespaces.
pub(super) fn api(
    client: &Client,
    namespace: Option<&str>,
) -> (Api<DynamicObject>, Kind, Writer<DynamicObject>) {
    let kind = GroupVersionKind::gvk(GROUP, "v1", "InferencePool");
    let resource = ApiResource::from_gvk_with_plural(&kind, PLURAL);
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let kind = Kind {
        resource: PLURAL,
        group: GROUP,
        namespace: namespace.map(str::to_owned),
        list_again: LIST_AGAIN,
        is_optional: false,
        keep: |_| false,
    };
    (api, kind, Writer::new(resource))
}

/// Returns the labels and ports of the pods that the InferencePool `name` selects.
///
/// # Errors
/// Says that there is no such InferencePool, or why its selection cannot be used.
pub(super) fn selection(pools: &[Arc<DynamicObject>], name: &Name) -> Result<Selection, String> {
    let named = |pool: &&Arc<DynamicObject>| pool.metadata.name.as_ref() == Some(&name.name);
    let pool = pools.iter().find(named);
    let pool = pool.ok_or_else(|| format!("there is no InferencePool {name}"))?;
    read(&pool.data).map_err(|reason| format!("InferencePool {name} {reason}"))
}

fn read(pool: &Value) -> Result<Selection, &'static str> {
    let ports = pool.pointer("/spec/targetPorts").and_then(Value::as_array);
    let ports = ports.into_iter().flatten();
    let ports: Vec<Value> = ports
        .filter_map(|port| port.get("number"))
        .cloned()
        .collect();
    Selection::of(pool.pointer("/spec/selector/matchLabels"), &ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pool_selects_by_labels_and_names_its_ports() {
        let pool = |labels: Value, ports: Value| {
            read(&json!({"spec": {"selector": {"matchLabels": labels}, "targetPorts": ports}}))
        };
        let labels = || json!({"app": "vllm", "x-y.z/tier": ""});
        let found = pool(labels(), json!([{"number": 8000}, {"number": 8001}])).expect("a pool");
        assert_eq!(found.labels(), "app=vllm,x-y.z/tier=");
        assert_eq!(found.ports, [8000, 8001]);
        // A selection without labels would select every pod.
        for (labels, ports) in [
            (json!({}), json!([{"number": 8000}])),
            (Value::Null, json!([{"number": 8000}])),
            (json!({"app": "a,b!=c"}), json!([{"number": 8000}])),
            (labels(), json!([])),
            (labels(), json!([{"number": 0}])),
            (labels(), json!([{"number": 80_000}])),
        ] {
            assert!(
                pool(labels.clone(), ports.clone()).is_err(),
                "{labels} {ports}"
            );
        }
        assert!(read(&json!({})).is_err());
    }
}
