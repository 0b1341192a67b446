//! Finds the configurations in one file and their problems.

use serde_json::{Map, Value};
use trimtab_aggregator::yaml::not_yaml;
use trimtab_aggregator::{config, members};

use super::plugin::{is_ours, named_ours};
use super::{DEEPEST, chain, destination, pools, rewrite};

/// One configuration within a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What the configuration is and where it is.
    pub(super) what: String,
    /// One line each; empty if there is no problem.
    pub(super) problems: Vec<String>,
    /// One line each: remarks that are no problems.
    pub(super) notes: Vec<String>,
}

/// Fields that only an aggregator's configuration or one of its pools has. A document with one of
/// them and without `pools` is checked as an aggregator's, so that the missing `pools` is reported.
const AGGREGATORS: [&str; 4] = ["discovery", "scrape", "max_proxies", "pools_from"];

/// Returns every configuration of Trimtab in a YAML or JSON text of one or more documents. A text
/// that is not YAML gives one finding.
pub(super) fn check(text: &str) -> Vec<Finding> {
    let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
        Ok(documents) => documents,
        Err(error) => {
            return vec![Finding {
                what: "document".to_owned(),
                problems: vec![not_yaml(&error)],
                notes: Vec::new(),
            }];
        }
    };
    let mut findings: Vec<Finding> = documents
        .iter()
        .flat_map(|document| check_document(document, &documents, text))
        .collect();
    // An aggregator reads a file as a whole, also a list of endpoints. So two such documents in one
    // file give one finding.
    findings.dedup();
    findings
}

fn check_document(document: &Value, all: &[Value], text: &str) -> Vec<Finding> {
    if document.get("pools").is_some() && document.get("aggregator").is_none() {
        return vec![aggregator(text)];
    }
    if members::check_list(document).is_some() {
        return vec![Finding {
            what: "list of endpoints".to_owned(),
            problems: lines(members::check_list_file(text).err()),
            notes: Vec::new(),
        }];
    }
    let Some(object) = document.as_object() else {
        return Vec::new();
    };
    if AGGREGATORS.iter().any(|key| object.contains_key(*key))
        || object.get("pool").is_some_and(Value::is_array)
    {
        return vec![aggregator(text)];
    }
    if object.contains_key("pool") || object.contains_key("aggregator") {
        let mut finding = filter("filter".to_owned(), document);
        if text.trim_start().starts_with('{')
            && let Err(error) = serde_json::from_str::<Value>(text)
        {
            finding.problems.push(format!(
                "is YAML and not JSON, which is all that the filter reads: {error}"
            ));
        }
        return vec![finding];
    }
    let mut findings = Vec::new();
    walk(document, &mut String::new(), DEEPEST, &mut findings);
    let clusters = cluster_names(document);
    for (finding, settings) in findings
        .iter_mut()
        .filter_map(|(finding, settings)| Some((finding, settings.as_ref()?)))
    {
        finding
            .problems
            .extend(unknown_cluster(settings, &clusters));
        finding
            .problems
            .extend(pools::without_cluster(settings, &clusters));
        finding
            .problems
            .extend(rewrite::unseen(settings, document, all));
        if !clusters.is_empty()
            && let Some(unread) = destination::unread(settings, document)
        {
            // With mode `observe` the cluster may still be unchanged, so this is a note.
            match settings.get("mode").and_then(Value::as_str) {
                Some("observe") => finding.notes.push(unread),
                _ => finding.problems.push(unread),
            }
        }
    }
    let mut findings: Vec<Finding> = findings.into_iter().map(|(finding, _)| finding).collect();
    if let Some(first) = findings.first_mut() {
        let remarks = chain::remarks(document);
        first.problems.extend(remarks.problems);
        first.notes.extend(remarks.notes);
    }
    findings
}

/// Checks the configuration and the endpoint files that it names. As in the aggregator itself,
/// relative paths start at the working directory.
fn aggregator(text: &str) -> Finding {
    let what = "aggregator".to_owned();
    match trimtab_aggregator::Config::from_yaml(text) {
        Ok(config) => {
            let files = config::check_files(&config);
            Finding {
                what,
                problems: files.problems,
                notes: files.notes,
            }
        }
        Err(problems) => Finding {
            what,
            problems: lines(Some(problems)),
            notes: Vec::new(),
        },
    }
}

fn lines(problems: Option<impl ToString>) -> Vec<String> {
    problems
        .map(|problems| problems.to_string().lines().map(str::to_owned).collect())
        .unwrap_or_default()
}

fn filter(what: String, settings: &Value) -> Finding {
    Finding {
        what,
        problems: lines(trimtab_filter::Config::read(settings).err()),
        notes: Vec::new(),
    }
}

/// Searches an Envoy or Istio document for plugins: Envoy's `configuration` beside `vm_config`,
/// Istio's `pluginConfig`.
fn walk(
    value: &Value,
    path: &mut String,
    depth: usize,
    findings: &mut Vec<(Finding, Option<Value>)>,
) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    let length = path.len();
    match value {
        Value::Object(object) => {
            if let Some(plugin) = plugin(object, path) {
                return findings.push(plugin);
            }
            for (key, inner) in object {
                path.push_str(if length == 0 { "" } else { "." });
                path.push_str(key);
                walk(inner, path, depth, findings);
                path.truncate(length);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(inner, path, depth, findings);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Returns the object as a plugin of Trimtab, and `None` if it is none.
fn plugin(object: &Map<String, Value>, path: &str) -> Option<(Finding, Option<Value>)> {
    if let Some(settings) = object
        .get("pluginConfig")
        .filter(|settings| is_ours(object, settings))
    {
        let mut finding = filter(format!("filter at {path}.pluginConfig"), settings);
        finding.notes.extend(pools::takes_all(settings));
        return Some((finding, Some(settings.clone())));
    }
    object.get("vm_config")?;
    let configuration = object.get("configuration")?;
    let what = format!("filter at {path}.configuration");
    let text = configuration.get("value").and_then(Value::as_str);
    let settings = match text.map(serde_json::from_str::<Value>) {
        Some(Ok(settings)) => settings,
        // Envoy also accepts a Struct here and passes its JSON to the plugin.
        None if configuration.get("value").is_some_and(Value::is_object) => {
            configuration.get("value")?.clone()
        }
        _ if !named_ours(object) => return None,
        Some(Err(error)) => {
            return Some((
                Finding {
                    what,
                    problems: vec![format!("value: is not JSON: {error}")],
                    notes: Vec::new(),
                },
                None,
            ));
        }
        None => {
            let fix = "write \"@type\": type.googleapis.com/google.protobuf.StringValue and value: a JSON text";
            return Some((
                Finding {
                    what,
                    problems: vec![format!("value: is missing; {fix}")],
                    notes: Vec::new(),
                },
                None,
            ));
        }
    };
    if !is_ours(object, &settings) {
        return None;
    }
    let mut finding = filter(what, &settings);
    finding
        .problems
        .extend(cannot_hold_headers(object, &settings));
    Some((finding, Some(settings)))
}

/// Returns a problem if a single plugin cannot hold headers back. Without the option Envoy calls no
/// body callback while a single plugin holds headers. The form with two plugins does not need the
/// option.
fn cannot_hold_headers(object: &Map<String, Value>, settings: &Value) -> Option<String> {
    let role = settings.get("role").and_then(Value::as_str);
    if role.is_some_and(|role| role != "single") {
        return None;
    }
    let allowed = object
        .get("allow_on_headers_stop_iteration")
        .and_then(Value::as_bool)
        == Some(true);
    (!allowed).then(|| {
        "allow_on_headers_stop_iteration: is not true; requests would be placed without a look at their prompts; write \
         `allow_on_headers_stop_iteration: true` beside vm_config (Envoy 1.35 or newer), or use two plugins with the roles tap and pick"
            .to_owned()
    })
}

/// Returns the names of the document's clusters. Empty if the document has none, as snippets and
/// xDS documents do, or if other clusters come from elsewhere.
fn cluster_names(document: &Value) -> Vec<&str> {
    let elsewhere = [
        "/dynamic_resources/cds_config",
        "/dynamic_resources/ads_config",
    ];
    if elsewhere
        .iter()
        .any(|path| document.pointer(path).is_some())
    {
        return Vec::new();
    }
    let clusters = document
        .pointer("/static_resources/clusters")
        .and_then(Value::as_array);
    clusters
        .into_iter()
        .flatten()
        .filter_map(|cluster| cluster.get("name")?.as_str())
        .collect()
}

fn unknown_cluster(settings: &Value, clusters: &[&str]) -> Option<String> {
    let wanted = settings.pointer("/aggregator/cluster")?.as_str()?;
    let unknown = !clusters.is_empty() && !clusters.contains(&wanted);
    unknown.then(|| {
        format!(
            "aggregator.cluster: {wanted:?}: the file has no such cluster; it has {}",
            clusters.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
