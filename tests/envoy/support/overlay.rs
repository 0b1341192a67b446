//! Applies deploy/envoy/destinations: the parts of envoy.yaml that differ in another form of the
//! destination.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::config;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Reads one of those files by its name without extension. `override_host` stands for an unchanged
/// envoy.yaml.
pub(crate) fn read(name: &str) -> Value {
    if name == "override_host" {
        return json!({});
    }
    let text = config::read(&format!("destinations/{name}.yaml"));
    let lua = config::path("destinations/destination.lua");
    let text = text.replace("/etc/trimtab/destination.lua", &lua.display().to_string());
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Puts each part where deploy/envoy/README.md says. Returns JSON, which is YAML too.
pub(crate) fn apply(envoy: &str, overlay: &Value) -> String {
    let mut envoy: Value = serde_saphyr::from_str(envoy).unwrap();
    for (key, part) in overlay.as_object().unwrap() {
        match key.as_str() {
            "destination" => set_destination(&mut envoy, part),
            "http_filters_before" => add(&mut envoy, &[MANAGER, "/http_filters"], First, part),
            "http_filters_after" => add(&mut envoy, &[MANAGER, "/http_filters"], BeforeLast, part),
            "remove" => {
                let extension =
                    "/early_header_mutation_extensions/0/typed_config/mutations/0/remove";
                *at(&mut envoy, &[MANAGER, extension]) = part.clone();
            }
            "routes" => {
                let routes = "/route_config/virtual_hosts/0/routes";
                add(&mut envoy, &[MANAGER, routes], First, part);
            }
            "model_servers" => {
                let cluster = object(at(&mut envoy, &["/static_resources/clusters/0"]));
                assert_eq!(cluster["name"], "model_servers");
                cluster.extend(object(&mut part.clone()).clone());
            }
            "trimtab_aggregator" => {
                let cluster = object(at(&mut envoy, &["/static_resources/clusters/1"]));
                assert_eq!(cluster["name"], "trimtab_aggregator");
                cluster.extend(object(&mut part.clone()).clone());
            }
            "clusters" | "listeners" => {
                add(&mut envoy, &["/static_resources/", key], BeforeLast, part);
            }
            // Only for tests: more fields of the access log.
            "access_log" => {
                let fields = "/access_log/0/typed_config/log_format/json_format";
                let fields = object(at(&mut envoy, &[MANAGER, fields]));
                fields.extend(object(&mut part.clone()).clone());
            }
            "bootstrap_extensions" | "stats_config" => {
                object(&mut envoy).insert(key.clone(), part.clone());
            }
            unknown => panic!("deploy/envoy/README.md does not say where {unknown} goes"),
        }
    }
    envoy.to_string()
}

/// Moves the listeners to a file that Envoy reads from `path`. Returns the rest of the
/// configuration, and the contents of that file.
pub(crate) fn without_listeners(envoy: &str, path: &Path) -> (String, String) {
    let mut envoy: Value = serde_saphyr::from_str(envoy).unwrap();
    let mut listeners = at(&mut envoy, &["/static_resources/listeners"]).take();
    for listener in listeners.as_array_mut().unwrap() {
        let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
        object(listener).insert("@type".to_owned(), kind.into());
    }
    object(at(&mut envoy, &["/static_resources"])).remove("listeners");
    let source = json!({"resource_api_version": "V3", "path_config_source": {"path": path}});
    let dynamic = json!({"lds_config": source});
    object(&mut envoy).insert("dynamic_resources".to_owned(), dynamic);
    let file = json!({"resources": listeners});
    (envoy.to_string(), file.to_string())
}

#[derive(Clone, Copy)]
enum Place {
    First,
    BeforeLast,
}
use Place::{BeforeLast, First};

fn at<'v>(value: &'v mut Value, pointer: &[&str]) -> &'v mut Value {
    let pointer = pointer.concat();
    value
        .pointer_mut(&pointer)
        .unwrap_or_else(|| panic!("envoy.yaml has no {pointer}"))
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().unwrap()
}

fn add(envoy: &mut Value, list: &[&str], place: Place, part: &Value) {
    let list = at(envoy, list).as_array_mut().unwrap();
    let index = match place {
        First => 0,
        BeforeLast => list.len() - 1,
    };
    list.splice(index..index, part.as_array().unwrap().iter().cloned());
}

/// Sets `destination` in the settings of each of our plugins.
fn set_destination(envoy: &mut Value, part: &Value) {
    let filters = at(envoy, &[MANAGER, "/http_filters"])
        .as_array_mut()
        .unwrap();
    let is_ours = |filter: &&mut Value| filter["name"].as_str().unwrap().starts_with("trimtab");
    for filter in filters.iter_mut().filter(is_ours) {
        let text = &mut filter["typed_config"]["config"]["configuration"]["value"];
        let mut settings: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        settings["destination"] = part.clone();
        *text = settings.to_string().into();
    }
}
