//! deploy/envoy/envoy.yaml, with only the values replaced that its head names.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Which form of the filter stands in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// One plugin, as deployed.
    #[default]
    Single,
    /// Tap and pick, each in VMs of its own, as Istio sets them up: without `allow_on_headers_stop_iteration`.
    Pair,
    /// Tap and pick in the same VMs, which Envoy does with plugins whose code and VM settings are equal.
    PairInOneVm,
    /// Only tap, or only pick: a mistake.
    Alone(&'static str),
    /// One plugin without `allow_on_headers_stop_iteration`: a mistake.
    SingleWithoutOption,
    /// None, as after a trap.
    Gone,
}

/// Values that take the place of the documented ones.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) filter: String,
    pub(crate) endpoints: String,
    pub(crate) aggregator: SocketAddr,
    /// Further settings of the plugin, as JSON members: `"seed": 7`.
    pub(crate) plugin: Option<String>,
    /// Settings in the place of `"pool": "default"`.
    pub(crate) pools: Option<String>,
    pub(crate) form: Form,
}

/// deploy/envoy/envoy.yaml as users copy it.
pub(crate) fn deployed() -> String {
    read("envoy.yaml")
}

/// deploy/envoy/aggregator.yaml with another address and list of servers.
pub(crate) fn aggregator(listen: SocketAddr, pool: &Path) -> String {
    let mut text = read("aggregator.yaml");
    replace_once(&mut text, "127.0.0.1:9190", &listen.to_string());
    replace_once(
        &mut text,
        "/etc/trimtab/pool.yaml",
        &pool.display().to_string(),
    );
    text
}

/// Where a file of deploy/envoy is.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/envoy")
        .join(name)
}

/// A file of deploy/envoy.
pub(crate) fn read(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The configuration with other ports and paths: port 0 where Envoy may choose.
pub(crate) fn with_values(values: &Values) -> String {
    let mut text = deployed();
    replace_once(
        &mut text,
        "address: 0.0.0.0, port_value: 8080",
        "address: 127.0.0.1, port_value: 0",
    );
    replace_once(&mut text, "port_value: 9901", "port_value: 0");
    replace_once(
        &mut text,
        "port_value: 9190",
        &format!("port_value: {}", values.aggregator.port()),
    );
    replace_once(&mut text, "/etc/trimtab/filter.wasm", &values.filter);
    replace_once(&mut text, "/etc/trimtab/endpoints.yaml", &values.endpoints);
    if let Some(plugin) = &values.plugin {
        replace_once(
            &mut text,
            "\"pool\": \"default\",",
            &format!("\"pool\": \"default\", {plugin},"),
        );
    }
    if let Some(pools) = &values.pools {
        replace_once(&mut text, "\"pool\": \"default\"", pools);
    }
    in_form(&text, values.form)
}

/// The same with another form of the filter.
fn in_form(text: &str, form: Form) -> String {
    const NEXT: &str = "          - name: envoy.filters.http.router\n";
    let start = text.find("          - name: trimtab\n").unwrap();
    let end = start + text[start..].find(NEXT).unwrap();
    let (before, single, after) = (&text[..start], &text[start..end], &text[end..]);
    let mut stop_all = single.to_owned();
    replace_once(&mut stop_all, "allow_on_headers_stop_iteration: true", "");
    let role = |role: &str, vm: &str| {
        let mut plugin = stop_all.clone();
        replace_once(
            &mut plugin,
            "- name: trimtab",
            &format!("- name: trimtab_{role}"),
        );
        replace_once(
            &mut plugin,
            "    name: trimtab",
            &format!("    name: trimtab_{role}"),
        );
        let runtime = "runtime: envoy.wasm.runtime.v8";
        let variables = format!(
            "{runtime}\n                  environment_variables: {{ key_values: {{ VM: {vm} }} }}"
        );
        replace_once(&mut plugin, runtime, &variables);
        let pool = "\"pool\": \"default\"";
        replace_once(&mut plugin, pool, &format!("\"role\": \"{role}\", {pool}"));
        plugin + "\n"
    };
    let plugins = match form {
        Form::Single => return text.to_owned(),
        Form::SingleWithoutOption => stop_all + "\n",
        // The module with no more callbacks than that role needs.
        Form::Pair => role("tap", "a") + &role("pick", "b").replace("/filter.wasm", "/pick.wasm"),
        Form::PairInOneVm => role("tap", "a") + &role("pick", "a"),
        Form::Alone(only) => role(only, "a"),
        Form::Gone => String::new(),
    };
    [before, &plugins, after].concat()
}

/// Replaces a value that stands exactly once outside of comments, as the head of the file promises.
fn replace_once(text: &mut String, from: &str, to: &str) {
    let is_setting = |line: &str| !line.trim_start().starts_with('#') && line.contains(from);
    let count = text.lines().filter(|line| is_setting(line)).count();
    assert_eq!(count, 1, "the file has {from:?} on {count} lines");
    let lines = text.lines().map(|line| {
        if is_setting(line) {
            line.replacen(from, to, 1)
        } else {
            line.to_owned()
        }
    });
    *text = lines.collect::<Vec<_>>().join("\n");
}

/// An endpoints file in the form of deploy/envoy/endpoints.yaml.
pub(crate) fn endpoints_file(addresses: &[SocketAddr]) -> String {
    let mut text = "resources:\n- \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: model_servers\n  endpoints:\n  - lb_endpoints:\n".to_owned();
    for address in addresses {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"{ip}\""),
        };
        text += &format!(
            "    - endpoint: {{ address: {{ socket_address: {{ address: {ip}, port_value: {} }} }} }}\n",
            address.port()
        );
    }
    text
}
