//! The compared proxies. They differ only in the filter.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use trimtab::process::envoy::{Envoy, Options};
use trimtab::process::find_envoy;

const DESTINATION: &str = "x-gateway-destination-endpoint";

/// One measured proxy.
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) envoy: Envoy,
    pub(crate) address: SocketAddr,
    /// Whether the proxy has the filter. The benchmark then waits until it decides.
    pub(crate) decides: bool,
}

/// What a proxy does.
pub(crate) enum Kind {
    /// Envoy's own least-request balancing.
    Plain,
    /// Envoy follows a destination that the route sets, without any filter. This is the cost of the
    /// policy that Trimtab uses.
    Policy,
    /// Trimtab in its single form. It holds the headers until it has decided.
    Single {
        /// Name for the printed rows.
        name: String,
        /// The module.
        filter: PathBuf,
    },
    /// A filter that does the least possible while it holds the headers until it has seen the body.
    /// This is the proxy's own cost of holding.
    Floor(PathBuf),
    /// Two plugins as tap and pick, each in its own VMs.
    Pair {
        /// Name for the printed rows.
        name: &'static str,
        /// Whether they are Trimtab's. The benchmark then waits until they decide.
        decides: bool,
        /// The module of tap.
        tap: PathBuf,
        /// The module of pick.
        pick: PathBuf,
    },
}

impl Kind {
    /// Returns all kinds. Plain Envoy is first, as the base of comparisons. Then come the filter of
    /// `cargo xtask wasm` in both forms, and the floors that no filter can beat. Last come other
    /// builds of the filter, if `TRIMTAB_OTHER_FILTERS` names some: `name=path,name=path`.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let module = |variable: &str| -> Result<PathBuf> {
            let path = std::env::var_os(variable);
            let missing = || format!("{variable} names no module; run `cargo xtask bench`");
            Ok(path.with_context(missing)?.into())
        };
        let filter = module("TRIMTAB_FILTER")?;
        let floor = module("TRIMTAB_FLOOR")?;
        let mut all = vec![
            Self::Plain,
            Self::Policy,
            Self::Single {
                name: "trimtab".to_owned(),
                filter: filter.clone(),
            },
            Self::Pair {
                name: "tap+pick",
                decides: true,
                tap: filter,
                pick: module("TRIMTAB_PICK")?,
            },
            Self::Floor(floor.clone()),
            Self::Pair {
                name: "floor of two",
                decides: false,
                tap: floor,
                pick: module("TRIMTAB_FLOOR_PICK")?,
            },
        ];
        let others = std::env::var("TRIMTAB_OTHER_FILTERS").unwrap_or_default();
        for other in others.split(',').filter(|other| !other.is_empty()) {
            let (name, path) = other
                .split_once('=')
                .with_context(|| format!("TRIMTAB_OTHER_FILTERS: {other:?} is not name=path"))?;
            all.push(Self::Single {
                name: name.to_owned(),
                filter: path.into(),
            });
        }
        Ok(all)
    }

    fn name(&self) -> &str {
        match self {
            Self::Plain => "plain",
            Self::Policy => "policy",
            Self::Single { name, .. } => name,
            Self::Floor(_) => "floor",
            Self::Pair { name, .. } => name,
        }
    }
}

/// Starts an Envoy with one worker. Two variants on two cores then do not delay each other in one
/// thread.
pub(crate) async fn start(
    kind: &Kind,
    backends: &[SocketAddr],
    aggregator: SocketAddr,
    dir: &Path,
) -> Result<Variant> {
    let dir = dir.join(kind.name());
    fs::create_dir_all(&dir)?;
    let config = dir.join("envoy.json");
    fs::write(&config, bootstrap(kind, backends, aggregator).to_string())?;
    let mut options = Options::new(find_envoy()?, config, dir);
    options.concurrency = 1;
    let envoy = Envoy::start(&options).await?;
    let address = envoy.listener("completions").await?;
    Ok(Variant {
        name: kind.name().to_owned(),
        envoy,
        address,
        decides: matches!(kind, Kind::Single { .. } | Kind::Pair { decides: true, .. }),
    })
}

fn bootstrap(kind: &Kind, backends: &[SocketAddr], aggregator: SocketAddr) -> Value {
    let mut filters = match kind {
        Kind::Plain | Kind::Policy => Vec::new(),
        Kind::Single { filter, .. } | Kind::Floor(filter) => vec![wasm("single", filter)],
        Kind::Pair { tap, pick, .. } => vec![wasm("tap", tap), wasm("pick", pick)],
    };
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    let least_request = policy("least_request", "LeastRequest", json!({}));
    let balancing = match kind {
        Kind::Plain => least_request,
        Kind::Policy | Kind::Single { .. } | Kind::Floor(_) | Kind::Pair { .. } => policy(
            "override_host",
            "OverrideHost",
            json!({
                "override_host_sources": [{"header": DESTINATION}],
                "fallback_policy": {"policies": [least_request]},
            }),
        ),
    };
    let mut hosts = Vec::new();
    if matches!(kind, Kind::Policy) {
        let names: Vec<String> = backends.iter().take(3).map(SocketAddr::to_string).collect();
        hosts.push(json!({"header": {"key": DESTINATION, "value": names.join(",")}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}));
    }
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "completions",
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "request_headers_to_add": hosts, "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model_servers", "timeout": "0s"}}]}]},
    });
    json!({
        "admin": {"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "static_resources": {
            "listeners": [{
                "name": "completions",
                "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
                "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
            }],
            "clusters": [
                cluster("model_servers", backends, json!({"load_balancing_policy": {"policies": [balancing]}})),
                cluster("trimtab_aggregator", &[aggregator], json!({})),
            ],
        },
    })
}

/// Returns one plugin. The two of a pair are configured as Istio does it: without the option, and
/// in their own VMs.
fn wasm(role: &str, filter: &Path) -> Value {
    let cluster = json!({"cluster": "trimtab_aggregator"});
    let settings = json!({"role": role, "pool": "bench", "aggregator": cluster}).to_string();
    json!({"name": format!("trimtab_{role}"), "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": format!("trimtab_{role}"),
            "allow_on_headers_stop_iteration": role == "single",
            "failure_policy": "FAIL_OPEN",
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": filter}},
                "environment_variables": {"key_values": {"ROLE": role}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": settings},
        },
    }})
}

fn policy(name: &str, kind: &str, mut settings: Value) -> Value {
    settings["@type"] =
        format!("type.googleapis.com/envoy.extensions.load_balancing_policies.{name}.v3.{kind}")
            .into();
    json!({"typed_extension_config": {"name": format!("envoy.load_balancing_policies.{name}"), "typed_config": settings}})
}

fn cluster(name: &str, hosts: &[SocketAddr], extra: Value) -> Value {
    let hosts: Vec<Value> = hosts
        .iter()
        .map(|host| json!({"endpoint": {"address": socket(*host)}}))
        .collect();
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
    });
    if let (Value::Object(cluster), Value::Object(extra)) = (&mut cluster, extra) {
        cluster.extend(extra);
    }
    cluster
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
