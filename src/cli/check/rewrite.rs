//! Whether the filter knows completion requests by their paths where a route rewrites them.
//!
//! Envoy's router rewrites a path behind all filters, so a plugin sees the path that the client sent.

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

/// A line for each route that makes a path of a model server out of one that the plugin leaves alone. `envoy`: a whole configuration.
pub(super) fn unseen(settings: &Value, envoy: &Value) -> Vec<String> {
    let Ok(config) = Config::read(settings) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    walk(envoy, DEEPEST, &mut |route| {
        let Some((before, after)) = rewritten(route) else {
            return;
        };
        let sees = |path: &str| config.paths.iter().any(|end| path.ends_with(end.as_str()));
        let mut served = SERVED.iter().filter_map(|path| {
            let rest = path.strip_prefix(after)?;
            let sent = format!("{before}{rest}");
            (!sees(&sent)).then_some((sent, path))
        });
        if let Some((sent, path)) = served.next() {
            let end = sent
                .rfind('/')
                .and_then(|at| sent.get(at..))
                .unwrap_or_default();
            lines.push(format!(
                "paths: a route rewrites {sent:?} to {path:?} behind the plugin, which sees the path before that and leaves such requests \
                 alone; write `paths` with {end:?} among the others"
            ));
        }
    });
    lines.dedup();
    lines
}

/// What a route matches, and what it puts in the place of that.
fn rewritten(route: &Value) -> Option<(&str, &str)> {
    let (matched, action) = (route.get("match")?, route.get("route")?);
    let before = ["path", "prefix", "path_separated_prefix"]
        .into_iter()
        .find_map(|field| matched.get(field)?.as_str())?;
    let after = action.get("prefix_rewrite")?.as_str()?;
    Some((before, after))
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
            unseen(&settings, &json!({"virtual_hosts": [{"routes": [route]}]})).join("\n")
        };
        assert_eq!(told("prefix", "/llm/", "/v1/", None), "");
        assert_eq!(told("prefix", "/", "/", None), "");
        assert_eq!(told("path", "/ask", "/other", None), "");
        for (matched, path, after, paths, end) in [
            ("path", "/ask", "/v1/chat/completions", None, "\"/ask\""),
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
}
