//! Checks whether the filter recognises completion requests by their paths if a route rewrites
//! paths.
//!
//! Envoy's router rewrites a path after all filters, so a plugin sees the path that the client
//! sent.

use serde_json::Value;
use trimtab_filter::Config;

use super::DEEPEST;

/// Paths of model servers, as they are after a rewrite.
const SERVED: [&str; 5] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
];

/// Kinds of resources with routes for proxies whose plugins are in other documents.
const ROUTES: [&str; 2] = ["VirtualService", "HTTPRoute"];

/// Returns a line for each route that rewrites a path which the plugin ignores to a path of a model
/// server.
///
/// - `settings`: the plugin's configuration.
/// - `document`: the document that holds the plugin, an Envoy configuration or a resource.
/// - `others`: the documents of the same file.
pub(super) fn unseen(settings: &Value, document: &Value, others: &[Value]) -> Vec<String> {
    let Ok(config) = Config::read(settings) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let kind = |other: &&Value| {
        other
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| ROUTES.contains(&kind))
    };
    for routes in std::iter::once(document).chain(others.iter().filter(kind)) {
        walk(routes, DEEPEST, &mut |route| {
            let pairs = rewritten(route);
            lines.extend(pairs.iter().filter_map(|pair| hidden(&config, pair)));
        });
    }
    lines.dedup();
    lines
}

/// Beginnings of paths: the client's, and the server's in its place.
type Pair = (String, String);

/// Returns the line for a rewrite that hides a path of a model server from the plugin.
fn hidden(config: &Config, (before, after): &Pair) -> Option<String> {
    let sees = |path: &str| config.paths.iter().any(|end| path.ends_with(end.as_str()));
    let mut served = SERVED.iter().filter_map(|path| {
        let rest = path.strip_prefix(after.as_str())?;
        let sent = format!("{before}{rest}");
        (!sees(&sent)).then_some((sent, path))
    });
    let (sent, path) = served.next()?;
    // The last part of the path. A trailing slash is ignored here, because any kind of path can end
    // in a slash.
    let last = sent.trim_end_matches('/').rfind('/');
    let end = last.and_then(|at| sent.get(at..)).unwrap_or_default();
    Some(format!(
        "paths: a route rewrites {sent:?} to {path:?} behind the plugin, which sees the path before that and leaves such requests alone; \
         write `paths` with {end:?} among the others"
    ))
}

/// Returns the rewrites of a route of Envoy, Istio or the Gateway API.
fn rewritten(route: &Value) -> Vec<Pair> {
    [envoys(route), istios(route), gateways(route)].concat()
}

fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    path.iter()
        .try_fold(value, |value, name| value.get(name))?
        .as_str()
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Returns the rewrites by `prefix_rewrite`, `regex_rewrite` and `path_rewrite_policy` of an Envoy
/// route.
fn envoys(route: &Value) -> Vec<Pair> {
    let (Some(matched), Some(action)) = (route.get("match"), route.get("route")) else {
        return Vec::new();
    };
    let before = ["path", "prefix", "path_separated_prefix"];
    let before = before.into_iter().find_map(|field| text(matched, &[field]));
    let prefix = before.zip(text(action, &["prefix_rewrite"]));
    let template = text(
        matched,
        &["path_match_policy", "typed_config", "path_template"],
    )
    .zip(text(
        action,
        &[
            "path_rewrite_policy",
            "typed_config",
            "path_template_rewrite",
        ],
    ));
    let template = template.map(|(before, after)| (until(before, '{'), until(after, '{')));
    let pattern = text(action, &["regex_rewrite", "pattern", "regex"]);
    let regex = pattern
        .zip(text(action, &["regex_rewrite", "substitution"]))
        .and_then(by_regex);
    let plain = prefix
        .into_iter()
        .chain(template)
        .map(|(before, after)| (before.to_owned(), after.to_owned()));
    plain.chain(regex).collect()
}

/// Returns the rewrites by `rewrite` of an HTTP route of a VirtualService.
fn istios(route: &Value) -> Vec<Pair> {
    let Some(rewrite) = route.get("rewrite") else {
        return Vec::new();
    };
    let regex = text(rewrite, &["uriRegexRewrite", "match"]);
    let regex = regex
        .zip(text(rewrite, &["uriRegexRewrite", "rewrite"]))
        .and_then(by_regex);
    let matched = list(route, "match")
        .filter_map(|one| text(one, &["uri", "prefix"]).or_else(|| text(one, &["uri", "exact"])));
    let after = text(rewrite, &["uri"]);
    let plain = matched.filter_map(|before| Some((before.to_owned(), after?.to_owned())));
    plain.chain(regex).collect()
}

/// Returns the rewrites of an HTTPRoute's rule with a filter `URLRewrite`.
fn gateways(rule: &Value) -> Vec<Pair> {
    let after = list(rule, "filters").find_map(|filter| {
        let path = filter.get("urlRewrite")?.get("path")?;
        text(path, &["replacePrefixMatch"]).or_else(|| text(path, &["replaceFullPath"]))
    });
    let Some(after) = after else {
        return Vec::new();
    };
    let before = list(rule, "matches").filter_map(|one| text(one, &["path", "value"]));
    before
        .map(|before| {
            (
                before.trim_end_matches('/').to_owned(),
                after.trim_end_matches('/').to_owned(),
            )
        })
        .collect()
}

/// Returns what a pattern replaces and what it inserts. `None` unless the pattern begins with plain
/// text that starts with a slash.
fn by_regex((pattern, substitution): (&str, &str)) -> Option<Pair> {
    let plain = pattern.trim_start_matches('^');
    let end = plain
        .find(['(', '[', '.', '*', '+', '?', '|', '$', '\\'])
        .unwrap_or(plain.len());
    let before = plain.get(..end).filter(|before| before.starts_with('/'))?;
    Some((before.to_owned(), until(substitution, '\\').to_owned()))
}

fn until(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or_default()
}

fn walk(value: &Value, depth: usize, visit: &mut impl FnMut(&Value)) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    match value {
        Value::Object(object) => {
            visit(value);
            object.values().for_each(|inner| walk(inner, depth, visit));
        }
        Value::Array(list) => list.iter().for_each(|inner| walk(inner, depth, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::unseen;
    use serde_json::json;

    #[test]
    fn a_rewrite_that_hides_completions_from_the_plugin_is_told_with_the_end_to_add() {
        let told = |matched: &str, path: &str, after: &str, paths: Option<&[&str]>| {
            let mut settings = json!({"pool": "p", "aggregator": {"cluster": "c"}});
            if let Some(paths) = paths {
                settings["paths"] = json!(paths);
            }
            let route = json!({"match": {matched: path}, "route": {"cluster": "m", "prefix_rewrite": after}});
            unseen(
                &settings,
                &json!({"virtual_hosts": [{"routes": [route]}]}),
                &[],
            )
            .join("\n")
        };
        assert_eq!(told("prefix", "/llm/", "/v1/", None), "");
        assert_eq!(told("prefix", "/", "/", None), "");
        assert_eq!(told("path", "/ask", "/other", None), "");
        for (matched, path, after, paths, end) in [
            ("path", "/ask", "/v1/chat/completions", None, "\"/ask\""),
            (
                "path",
                "/v1/chat/completions/",
                "/v1/chat/completions",
                None,
                "\"/completions/\"",
            ),
            (
                "prefix",
                "/llm/",
                "/v1/",
                Some(&["/v1/chat/completions"][..]),
                "\"/completions\"",
            ),
            (
                "path_separated_prefix",
                "/x/chat",
                "/v1/chat/completions",
                None,
                "\"/chat\"",
            ),
            (
                "prefix",
                "/anthropic",
                "/v1",
                Some(&["/completions", "/responses"][..]),
                "\"/messages\"",
            ),
        ] {
            let line = told(matched, path, after, paths);
            assert!(
                line.starts_with("paths: ") && line.contains(end),
                "{path}: {line}"
            );
        }
    }

    #[test]
    fn rewrites_are_found_in_every_form_and_in_the_routes_beside_a_plugin() {
        let settings =
            json!({"pool": "p", "aggregator": {"cluster": "c"}, "paths": ["/v1/chat/completions"]});
        let ours = |document: serde_json::Value| unseen(&settings, &document, &[]).len();
        let regex = |regex: &str, substitution: &str| {
            let rewrite = json!({"pattern": {"regex": regex}, "substitution": substitution});
            ours(
                json!({"match": {"prefix": "/"}, "route": {"cluster": "m", "regex_rewrite": rewrite}}),
            )
        };
        assert_eq!(regex("^/llm/(.*)$", "/v1/\\1"), 1);
        assert_eq!(regex("/llm(/.*)", "/v1\\1"), 1);
        assert_eq!(
            regex("^/team/v1/(.*)$", "/v1/\\1"),
            1,
            "completions have the end, embeddings have not"
        );
        assert_eq!(regex("^/llm/(.*)$", "/v2/\\1"), 0);
        let template = json!({
            "match": {"path_match_policy": {"typed_config": {"path_template": "/llm/{rest=**}"}}},
            "route": {"path_rewrite_policy": {"typed_config": {"path_template_rewrite": "/v1/{rest}"}}},
        });
        assert_eq!(ours(template), 1);
        let service = json!({"kind": "VirtualService", "spec": {"http": [
            {"match": [{"uri": {"prefix": "/llm/"}}], "rewrite": {"uri": "/v1/"}},
        ]}});
        let by_pattern = json!({"kind": "VirtualService", "spec": {"http": [
            {"rewrite": {"uriRegexRewrite": {"match": "^/llm/(.*)$", "rewrite": "/v1/\\1"}}},
        ]}});
        let gateway = json!({"kind": "HTTPRoute", "spec": {"rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/llm"}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1"}}}],
        }]}});
        let plugin = json!({"kind": "WasmPlugin"});
        for routes in [service, by_pattern, gateway] {
            assert_eq!(
                unseen(&settings, &plugin, std::slice::from_ref(&routes)).len(),
                1,
                "{routes}"
            );
            let mut stranger = routes;
            stranger["kind"] = json!("Deployment");
            assert_eq!(
                unseen(&settings, &plugin, &[stranger]),
                Vec::<String>::new()
            );
        }
    }
}
