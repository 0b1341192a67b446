//! Recognises lists of endpoints in forms of other programs, and says what to write instead.

use serde_json::{Map, Value};

/// How many characters of such a list's target are shown.
const SHOWN: usize = 48;

/// Says what a document or the value of `endpoints` is instead of our list, and what to write.
/// `None`: the form is not known.
pub(crate) fn foreign(value: &Value) -> Option<(&'static str, String)> {
    match value {
        Value::Array(items) => list(items.first()?),
        Value::Object(object) => object_form(object),
        _ => None,
    }
}

/// Recognises a list by its first entry.
fn list(first: &Value) -> Option<(&'static str, String)> {
    match first {
        Value::String(address) => Some((
            "is a list of texts and not of endpoints",
            rewritten(Some(address)),
        )),
        Value::Object(entry) => {
            let targets = entry.get("targets")?;
            let first = targets.get(0).and_then(Value::as_str);
            Some((
                "is a list in the form of Prometheus' file_sd",
                rewritten(first),
            ))
        }
        _ => None,
    }
}

fn object_form(object: &Map<String, Value>) -> Option<(&'static str, String)> {
    let has = |key: &str| object.contains_key(key);
    if has("scrape_configs") || has("static_configs") {
        return Some(("is Prometheus' configuration", rewritten(None)));
    }
    if has("resources") || has("lb_endpoints") || has("cluster_name") {
        return Some(("is Envoy's list of endpoints", rewritten(None)));
    }
    if has("kind") && has("apiVersion") {
        let fix = "list ip:port of each server under `endpoints:`, or let `discovery: {kubernetes: ..}` follow an InferencePool, a Service or pods";
        return Some(("is a Kubernetes object", fix.to_owned()));
    }
    None
}

/// Whether a list is ours, but without the key `endpoints` above it.
pub(crate) fn is_bare(document: &Value) -> bool {
    let first = document.as_array().and_then(|items| items.first());
    first.is_some_and(|first| first.get("address").is_some())
}

fn rewritten(target: Option<&str>) -> String {
    let target =
        target.filter(|target| target.len() <= SHOWN && !target.contains(char::is_control));
    let target = target.unwrap_or("10.0.0.1:8000");
    format!("write `endpoints:` and under it `- address: {target}` for each")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn other_programs_lists_are_named_and_rewritten() {
        for (value, is, write) in [
            (
                json!([{"targets": ["10.0.0.7:8000"], "labels": {}}]),
                "file_sd",
                "- address: 10.0.0.7:8000",
            ),
            (
                json!([{"targets": []}]),
                "file_sd",
                "- address: 10.0.0.1:8000",
            ),
            (
                json!(["10.0.0.7:8000"]),
                "list of texts",
                "- address: 10.0.0.7:8000",
            ),
            (json!(["a\nb"]), "list of texts", "- address: 10.0.0.1:8000"),
            (json!({"scrape_configs": []}), "Prometheus", "endpoints:"),
            (
                json!({"resources": [], "version_info": "1"}),
                "Envoy",
                "endpoints:",
            ),
            (
                json!({"kind": "EndpointSlice", "apiVersion": "v1", "endpoints": []}),
                "Kubernetes",
                "discovery: {kubernetes:",
            ),
        ] {
            let (reason, fix) = foreign(&value).expect("known");
            assert!(
                reason.contains(is) && fix.contains(write),
                "{value}: {reason}; {fix}"
            );
        }
        for ours in [
            json!([{"address": "10.0.0.1:80"}]),
            json!([]),
            json!({"endpoints": []}),
            json!(1),
        ] {
            assert_eq!(foreign(&ours), None, "{ours}");
        }
        assert!(
            is_bare(&json!([{"address": "x"}])) && !is_bare(&json!([])) && !is_bare(&json!({}))
        );
    }
}
