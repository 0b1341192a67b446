//! Reads deploy/envoy/envoy.yaml and replaces only the values that its head names.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The form of the filter in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// One plugin, as deployed.
    #[default]
    Single,
    /// Tap and pick of deploy/envoy/two-plugins.yaml, each in its own VMs, as Istio sets them up.
    Pair,
    /// Tap and pick in the same VMs. Envoy shares VMs between plugins with equal code and VM
    /// settings.
    PairInOneVm,
    /// Only tap, or only pick. This is a mistake.
    Alone(&'static str),
    /// One plugin without `allow_on_headers_stop_iteration`. This is a mistake.
    SingleWithoutOption,
    /// No plugin, as after a trap.
    Gone,
}

/// Values that replace the documented ones.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) filter: String,
    pub(crate) endpoints: String,
    pub(crate) aggregator: SocketAddr,
    /// Further settings of the plugin, as JSON members: `"seed": 7`.
    pub(crate) plugin: Option<String>,
    /// Settings instead of `"pool": "default"`.
    pub(crate) pools: Option<String>,
    pub(crate) form: Form,
}

/// Returns deploy/envoy/envoy.yaml as users copy it.
pub(crate) fn deployed() -> String {
    read("envoy.yaml")
}

/// Returns deploy/envoy/aggregator.yaml with another address and list of servers.
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

/// Returns the path of a file of deploy/envoy.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/envoy")
        .join(name)
}

/// Returns the text of a file of deploy/envoy.
pub(crate) fn read(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Returns the configuration with other ports and paths. Ports that Envoy may choose are 0.
pub(crate) fn with_values(values: &Values) -> String {
    let mut text = in_form(&deployed(), values.form);
    let aggregator = format!("port_value: {}", values.aggregator.port());
    for (from, to) in [
        (
            "address: 0.0.0.0, port_value: 8080",
            "address: 127.0.0.1, port_value: 0",
        ),
        ("port_value: 9901", "port_value: 0"),
        ("port_value: 9190", &aggregator),
        ("/etc/trimtab/endpoints.yaml", &values.endpoints),
    ] {
        replace_once(&mut text, from, to);
    }
    let plugins = text.matches("extensions.filters.http.wasm.v3.Wasm").count();
    let picks = text.matches("/etc/trimtab/pick.wasm").count();
    let pick = values.filter.replace("/filter.wasm", "/pick.wasm");
    replace(&mut text, "/etc/trimtab/pick.wasm", &pick, picks);
    let taps = plugins - picks;
    replace(&mut text, "/etc/trimtab/filter.wasm", &values.filter, taps);
    let pool = "\"pool\": \"default\"";
    if let Some(plugin) = &values.plugin {
        replace(&mut text, pool, &format!("{pool}, {plugin}"), plugins);
    }
    if let Some(pools) = &values.pools {
        replace(&mut text, pool, pools, plugins);
    }
    text
}

/// Returns the configuration with another form of the filter.
fn in_form(text: &str, form: Form) -> String {
    const NEXT: &str = "          - name: envoy.filters.http.router\n";
    let start = text.find("          - name: trimtab\n").unwrap();
    let end = start + text[start..].find(NEXT).unwrap();
    let (before, single, after) = (&text[..start], &text[start..end], &text[end..]);
    let part = read("two-plugins.yaml");
    let (_, pair) = part.split_once("\nhttp_filters:\n").unwrap();
    let indent = |plugin: &str| {
        let lines = plugin.lines().map(|line| format!("          {line}\n"));
        lines.collect::<String>()
    };
    let at = pair.find("- name: trimtab_pick\n").unwrap();
    let (tap, pick) = (indent(&pair[..at]), indent(&pair[at..]));
    let plugins = match form {
        Form::Single => return text.to_owned(),
        Form::SingleWithoutOption => {
            let mut stop_all = single.to_owned();
            replace_once(&mut stop_all, "allow_on_headers_stop_iteration: true", "");
            stop_all + "\n"
        }
        Form::Pair => tap + &pick,
        Form::PairInOneVm => tap + &pick.replace("/pick.wasm", "/filter.wasm"),
        Form::Alone("tap") => tap,
        Form::Alone(_) => pick.replace("/pick.wasm", "/filter.wasm"),
        Form::Gone => String::new(),
    };
    [before, &plugins, after].concat()
}

/// Replaces a value that is exactly once outside of comments, as the head of the file promises.
fn replace_once(text: &mut String, from: &str, to: &str) {
    replace(text, from, to, 1);
}

/// Replaces a value that is outside of comments on exactly `times` lines.
fn replace(text: &mut String, from: &str, to: &str, times: usize) {
    let is_setting = |line: &str| !line.trim_start().starts_with('#') && line.contains(from);
    let count = text.lines().filter(|line| is_setting(line)).count();
    assert_eq!(count, times, "the file has {from:?} on {count} lines");
    let lines = text.lines().map(|line| {
        if is_setting(line) {
            line.replacen(from, to, 1)
        } else {
            line.to_owned()
        }
    });
    *text = lines.collect::<Vec<_>>().join("\n");
}

/// Returns an endpoints file in the form of deploy/envoy/endpoints.yaml.
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
