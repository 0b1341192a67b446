//! What can be said of each plugin alone.

use serde_json::Value;

use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::plugin::Plugin;

pub(super) fn examine(plugins: &[Plugin<'_>]) -> Vec<Finding> {
    plugins.iter().flat_map(one).collect()
}

fn one(plugin: &Plugin<'_>) -> Vec<Finding> {
    let of = plugin.resource;
    let mut found = Vec::new();
    let settings = Value::Object(plugin.settings.clone());
    if let Err(problems) = trimtab_filter::Config::read(&settings) {
        let problems = problems.to_string();
        let lines = problems.lines().map(|line| {
            let remedy = "change the settings; the plugin refuses them as a whole";
            Finding::error("settings", of, line, remedy).see("docs/configuration.md")
        });
        found.extend(lines);
    }
    if !plugin.is_text {
        let problem = "has its settings as an object: Envoy hands the plugin its bytes, no JSON";
        let remedy = "write them as JSON in a google.protobuf.StringValue";
        found.push(Finding::error("settings-text", of, problem, remedy));
    }
    if !plugin.fails_open {
        let problem = "requests fail where the module cannot be had, or has failed";
        let remedy = match of.kind.as_str() {
            "EnvoyFilter" => "set fail_open: true in the plugin's config",
            _ => "set failStrategy: FAIL_OPEN; FAIL_RELOAD refuses requests too",
        };
        found.push(
            Finding::error("fail-open", of, problem, remedy)
                .see("istio/README.md#rules-that-the-files-keep"),
        );
    }
    if plugin.services().is_empty() && plugin.settings.get("clusters").is_none() {
        let named = plugin.pools().into_iter();
        let all = named.filter(|pool| pool.get("clusters").is_none()).count();
        if all > 0 || plugin.pools().is_empty() {
            let problem = "takes the completion requests to every Service behind the proxy";
            let remedy = "name the pool's Services: services: [NAMESPACE/NAME:PORT]";
            found.push(
                Finding::warning("every-service", of, problem, remedy)
                    .see("docs/configuration.md#filter"),
            );
        }
    }
    if plugin.url.contains("registry.example.com") {
        let problem = format!("{} is an example", plugin.url);
        let remedy = "name your registry in modules of istio/parameters.yaml";
        found.push(
            Finding::error("module", of, problem, remedy).see("docs/istio.md#1-build-and-push"),
        );
    }
    found
}
