//! Plugins of Trimtab among the objects.

use serde_json::{Map, Value, json};

use super::resource::Resource;

/// A plugin.
#[derive(Debug, Clone)]
pub(super) struct Plugin<'r> {
    pub(super) resource: &'r Resource,
    /// The settings, as an object.
    pub(super) settings: Map<String, Value>,
    /// Selector or targetRefs: which proxies have it.
    pub(super) target: Value,
    pub(super) priority: i64,
    pub(super) phase: String,
    pub(super) url: String,
    /// Whether requests pass without it.
    pub(super) fails_open: bool,
    /// Whether the settings come to the plugin as text.
    pub(super) is_text: bool,
}

/// A Service that a pool names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Absent: all ports.
    pub(super) port: Option<u64>,
}

impl Plugin<'_> {
    /// `single`, `tap` or `pick`.
    pub(super) fn role(&self) -> &str {
        let role = self.settings.get("role").and_then(Value::as_str);
        role.unwrap_or("single")
    }

    pub(super) fn destination(&self, field: &str) -> Option<&str> {
        self.settings.get("destination")?.get(field)?.as_str()
    }

    /// What reads the destination.
    pub(super) fn form(&self) -> &str {
        self.destination("form").unwrap_or("override_host")
    }

    /// The header that carries the endpoint to a session filter or to Lua.
    pub(super) fn header(&self) -> &str {
        self.destination("header")
            .unwrap_or("x-gateway-destination-endpoint")
    }

    /// The pools, each an object with its conditions.
    pub(super) fn pools(&self) -> Vec<&Value> {
        match self.settings.get("pools").and_then(Value::as_array) {
            Some(pools) => pools.iter().collect(),
            None => Vec::new(),
        }
    }

    /// Names and conditions of pools, in any spelling of the settings.
    pub(super) fn pool_names(&self) -> Vec<&str> {
        let single = self.settings.get("pool").and_then(Value::as_str);
        let listed = self.pools().into_iter();
        let listed = listed.filter_map(|pool| pool.get("pool")?.as_str());
        single.into_iter().chain(listed).collect()
    }

    /// The Services of all pools.
    pub(super) fn services(&self) -> Vec<Named> {
        let own = self.settings.get("services");
        let listed = self.pools().into_iter();
        let all = own
            .into_iter()
            .chain(listed.filter_map(|pool| pool.get("services")));
        let texts = all.filter_map(Value::as_array).flatten();
        texts.filter_map(|text| named(text.as_str()?)).collect()
    }

    /// The host and port of the aggregator, as its cluster names them.
    pub(super) fn aggregator(&self) -> Option<(&str, &str)> {
        let cluster = self.settings.get("aggregator")?.get("cluster")?.as_str()?;
        let mut parts = cluster.split('|');
        let (direction, port) = (parts.next()?, parts.next()?);
        (direction == "outbound").then_some((parts.nth(1)?, port))
    }
}

fn named(text: &str) -> Option<Named> {
    let (namespace, rest) = text.split_once('/')?;
    let (name, port) = match rest.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (rest, None),
    };
    Some(Named {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port,
    })
}

/// Returns all plugins of Trimtab.
pub(super) fn all(resources: &[Resource]) -> Vec<Plugin<'_>> {
    resources.iter().flat_map(of).collect()
}

fn of(resource: &Resource) -> Vec<Plugin<'_>> {
    let wasm = match resource.kind.as_str() {
        "WasmPlugin" => resource.spec(""),
        "TrafficExtension" => resource.spec("/wasm"),
        "EnvoyFilter" => return of_filter(resource),
        _ => return Vec::new(),
    };
    let text = |field: &str| wasm.get(field).and_then(Value::as_str).unwrap_or_default();
    let Some(settings) = ours(resource, wasm.get("pluginConfig")) else {
        return Vec::new();
    };
    vec![Plugin {
        resource,
        settings,
        target: target(resource),
        priority: resource.spec("/priority").as_i64().unwrap_or(0),
        phase: resource
            .spec("/phase")
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        url: text("url").to_owned(),
        fails_open: text("failStrategy") == "FAIL_OPEN",
        is_text: true,
    }]
}

/// Plugins that an EnvoyFilter adds itself.
fn of_filter(resource: &Resource) -> Vec<Plugin<'_>> {
    let patches = resource.list("/configPatches").iter();
    let configs = patches.filter_map(|patch| {
        let config = patch.pointer("/patch/value/typed_config/config")?;
        let value = config.pointer("/configuration/value");
        // A text holds JSON.
        let parsed = value.and_then(Value::as_str);
        let parsed = parsed.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let settings = ours(resource, parsed.as_ref().or(value))?;
        let policy = config.get("failure_policy").and_then(Value::as_str);
        let fails_open = config.get("fail_open") == Some(&json!(true));
        let code = config.pointer("/vm_config/code/remote/http_uri/uri");
        Some(Plugin {
            resource,
            settings,
            target: target(resource),
            priority: 0,
            phase: String::new(),
            url: code.and_then(Value::as_str).unwrap_or_default().to_owned(),
            fails_open: fails_open || policy == Some("FAIL_OPEN"),
            is_text: parsed.is_some(),
        })
    });
    let mut found: Vec<Plugin<'_>> = Vec::new();
    for plugin in configs {
        // The same plugin in several contexts.
        if !found.iter().any(|known| known.settings == plugin.settings) {
            found.push(plugin);
        }
    }
    found
}

/// Returns the settings if they are Trimtab's.
fn ours(resource: &Resource, settings: Option<&Value>) -> Option<Map<String, Value>> {
    let settings = settings?.as_object()?;
    let has_cluster = settings
        .get("aggregator")
        .and_then(|own| own.get("cluster"));
    (has_cluster.is_some() || resource.name.contains("trimtab")).then(|| settings.clone())
}

/// Which proxies an object is for.
pub(super) fn target(resource: &Resource) -> Value {
    let selector = match resource.spec("/selector/matchLabels") {
        Value::Null => resource.spec("/workloadSelector/labels"),
        labels => labels,
    };
    json!({"labels": selector, "refs": resource.spec("/targetRefs")})
}
