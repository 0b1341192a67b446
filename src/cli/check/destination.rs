//! Checks whether anything in an Envoy document takes the destination from the header that the
//! filter writes.

use serde_json::Value;
use trimtab_filter::{Config, Form};

use super::DEEPEST;

/// Returns what is missing for the plugin's decisions to have an effect. `None` if nothing is
/// missing, or if the settings themselves are wrong.
///
/// - `settings`: the plugin's configuration.
/// - `envoy`: a whole Envoy configuration, with its clusters.
pub(super) fn unread(settings: &Value, envoy: &Value) -> Option<String> {
    let destination = Config::read(settings).ok()?.destination;
    let header = destination.header.as_str();
    let (reads, form, fix): (fn(&Value, &str) -> bool, _, _) = match destination.form {
        Form::OverrideHost => (
            is_override_host,
            "override_host",
            "give the model servers' cluster the load balancing policy override_host with this header among its override_host_sources (deploy/envoy/envoy.yaml)",
        ),
        Form::StatefulSession => (
            is_session,
            "stateful_session",
            "put the filter stateful_session with a header-based session of this name behind the plugin (deploy/envoy/destinations/stateful_session.yaml)",
        ),
        Form::Lua => (
            is_lua,
            "lua",
            "put a Lua filter with destination.lua behind the plugin (deploy/envoy/destinations/lua.yaml)",
        ),
        Form::OriginalDst => (
            is_original_dst,
            "original_dst",
            "route to a cluster of type ORIGINAL_DST with use_http_header: true, and http_header_name where the header is another than Envoy's own (deploy/envoy/destinations/original_dst.yaml)",
        ),
    };
    let found = any(envoy, DEEPEST, &|object| reads(object, header));
    (!found).then(|| {
        format!("destination: nothing in the file takes the destination from {header:?} in the form {form}, so requests would go where Envoy likes; {fix}")
    })
}

/// Returns whether `is` holds for `value` or an object within it.
fn any(value: &Value, depth: usize, is: &impl Fn(&Value) -> bool) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Object(object) => is(value) || object.values().any(|inner| any(inner, depth, is)),
        Value::Array(list) => list.iter().any(|inner| any(inner, depth, is)),
        _ => false,
    }
}

fn is_override_host(object: &Value, header: &str) -> bool {
    let sources = object
        .get("override_host_sources")
        .and_then(Value::as_array);
    let mut sources = sources.into_iter().flatten();
    sources.any(|source| names(source, "header", header))
}

fn is_session(object: &Value, header: &str) -> bool {
    is_type(object, ".HeaderBasedSessionState") && names(object, "name", header)
}

/// Returns whether the object is a Lua filter that reads the header. Code in another file cannot be
/// checked and counts as reading it.
fn is_lua(object: &Value, header: &str) -> bool {
    let inline = |code: &Value| {
        let text = code
            .as_str()
            .or_else(|| code.get("inline_string")?.as_str());
        text.is_none_or(|text| text.contains(header))
    };
    let code = ["default_source_code", "inline_code"];
    is_type(object, ".lua.v3.Lua") && code.iter().filter_map(|key| object.get(key)).any(inline)
}

fn is_original_dst(object: &Value, header: &str) -> bool {
    let Some(config) = object.get("original_dst_lb_config") else {
        return false;
    };
    let named = config.get("http_header_name").and_then(Value::as_str);
    config.get("use_http_header") == Some(&Value::Bool(true))
        && named
            .unwrap_or("x-envoy-original-dst-host")
            .eq_ignore_ascii_case(header)
}

fn is_type(object: &Value, ending: &str) -> bool {
    let kind = object.get("@type").and_then(Value::as_str);
    kind.is_some_and(|kind| kind.ends_with(ending))
}

fn names(object: &Value, key: &str, header: &str) -> bool {
    let name = object.get(key).and_then(Value::as_str);
    name.is_some_and(|name| name.eq_ignore_ascii_case(header))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployed(name: &str) -> Value {
        let path = format!("{}/deploy/envoy/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn told(destination: &Value, envoy: &Value) -> Option<String> {
        let settings =
            json!({"pool": "a", "aggregator": {"cluster": "c"}, "destination": destination});
        unread(&settings, envoy)
    }

    #[test]
    fn what_is_deployed_reads_its_own_form_and_no_other() {
        let forms = ["override_host", "stateful_session", "lua", "original_dst"];
        for deploys in forms {
            let file = match deploys {
                "override_host" => "envoy.yaml".to_owned(),
                form => format!("destinations/{form}.yaml"),
            };
            let envoy = deployed(&file);
            for form in forms {
                let told = told(&json!({"form": form}), &envoy);
                assert_eq!(
                    told.is_none(),
                    form == deploys,
                    "{form} in {file}: {told:?}"
                );
                let message = told.unwrap_or_default();
                assert!(form == deploys || message.contains(form), "{message}");
            }
        }
    }

    #[test]
    fn another_header_is_not_the_one() {
        for (form, file) in [
            ("override_host", "envoy.yaml"),
            ("stateful_session", "destinations/stateful_session.yaml"),
            ("original_dst", "destinations/original_dst.yaml"),
        ] {
            let other = json!({"form": form, "header": "x-other"});
            let told = told(&other, &deployed(file)).unwrap();
            assert!(
                told.contains("\"x-other\"") && told.contains("deploy/envoy/"),
                "{told}"
            );
        }
        let named = json!({"original_dst_lb_config": {"use_http_header": true, "http_header_name": "X-Other"}});
        let other = json!({"form": "original_dst", "header": "x-other"});
        assert_eq!(told(&other, &named), None);
        assert!(told(&json!({"form": "original_dst"}), &named).is_some());
    }

    #[test]
    fn lua_code_is_looked_into_where_it_stands_in_the_file() {
        let lua = |code: Value| json!({"@type": "x/envoy.extensions.filters.http.lua.v3.Lua", "default_source_code": code});
        let form = json!({"form": "lua"});
        let ours = "h:get(\"x-gateway-destination-endpoint\")";
        assert_eq!(told(&form, &lua(json!({"inline_string": ours}))), None);
        assert!(told(&form, &lua(json!({"inline_string": "other"}))).is_some());
        assert_eq!(told(&form, &lua(json!({"filename": "/x.lua"}))), None);
    }

    #[test]
    fn settings_that_are_wrong_are_told_elsewhere() {
        assert_eq!(unread(&json!({"pool": ""}), &json!({})), None);
    }
}
