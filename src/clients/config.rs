//! Builds the configurations of one lane: the files of `deploy/envoy` with other addresses and
//! paths.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::policy::Policy;

const ENVOY: &str = include_str!("../../deploy/envoy/envoy.yaml");
const AGGREGATOR: &str = include_str!("../../deploy/envoy/aggregator.yaml");

/// Name of the listener in `deploy/envoy/envoy.yaml`.
pub(super) const LISTENER: &str = "completions";
/// Name of the model servers' cluster in `deploy/envoy/envoy.yaml`.
pub(super) const CLUSTER: &str = "model_servers";

/// Returns the deployed Envoy configuration with other ports and paths.
///
/// The LEAST_REQUEST lane uses the same file without the filter. Its only policy is the fallback of
/// `override_host`. Every other setting (limits, retries, outlier detection, access log) is the
/// same in both lanes.
pub(super) fn envoy(
    policy: Policy,
    filter: &Path,
    endpoints: &Path,
    aggregator: SocketAddr,
) -> Result<Value> {
    let mut text = ENVOY.to_owned();
    for (from, to) in [
        (
            "address: 0.0.0.0, port_value: 8080",
            "address: 127.0.0.1, port_value: 0".to_owned(),
        ),
        ("port_value: 9901", "port_value: 0".to_owned()),
        (
            "port_value: 9190",
            format!("port_value: {}", aggregator.port()),
        ),
        ("/etc/trimtab/endpoints.yaml", shown(endpoints)?),
        ("/etc/trimtab/filter.wasm", shown(filter)?),
    ] {
        text = replaced(&text, from, &to)?;
    }
    let mut config: Value =
        serde_saphyr::from_str(&text).context("deploy/envoy/envoy.yaml is no YAML")?;
    if policy == Policy::LeastRequest {
        without_trimtab(&mut config)?;
    }
    Ok(config)
}

/// Removes the filter and replaces `override_host` by its fallback policy.
fn without_trimtab(config: &mut Value) -> Result<()> {
    let filters = config
        .pointer_mut(
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters",
        )
        .and_then(Value::as_array_mut)
        .context("deploy/envoy/envoy.yaml has no HTTP filters")?;
    let before = filters.len();
    filters.retain(|filter| filter["name"] != "trimtab");
    ensure!(
        filters.len() + 1 == before,
        "deploy/envoy/envoy.yaml has no filter named trimtab"
    );
    let cluster = config
        .pointer_mut("/static_resources/clusters/0")
        .filter(|cluster| cluster["name"] == CLUSTER)
        .context("the first cluster of deploy/envoy/envoy.yaml is not model_servers")?;
    let fallback = cluster
        .pointer(
            "/load_balancing_policy/policies/0/typed_extension_config/typed_config/fallback_policy",
        )
        .cloned()
        .context("the cluster model_servers of deploy/envoy/envoy.yaml has no fallback policy")?;
    cluster["load_balancing_policy"] = fallback;
    Ok(())
}

/// Returns the deployed aggregator configuration with another address and list of servers.
pub(super) fn aggregator(listen: SocketAddr, pool: &Path) -> Result<String> {
    let text = replaced(AGGREGATOR, "127.0.0.1:9190", &listen.to_string())?;
    replaced(&text, "/etc/trimtab/pool.yaml", &shown(pool)?)
}

/// Returns the list that Envoy watches, in the form of `deploy/envoy/endpoints.yaml`.
pub(super) fn endpoints(servers: &[SocketAddr]) -> Value {
    let socket = |server: &SocketAddr| {
        json!({"endpoint": {"address": {"socket_address":
            {"address": server.ip().to_string(), "port_value": server.port()}}}})
    };
    let servers: Vec<Value> = servers.iter().map(socket).collect();
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": CLUSTER,
        "endpoints": [{"lb_endpoints": servers}],
    }]})
}

/// Returns the aggregator's list, in the form of `deploy/envoy/pool.yaml`. It has addresses, and
/// neither class nor speed.
pub(super) fn pool(servers: &[SocketAddr]) -> Value {
    let servers: Vec<Value> = servers
        .iter()
        .map(|server| json!({"address": server.to_string()}))
        .collect();
    json!({"endpoints": servers})
}

fn shown(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// Replaces a value that is on exactly one line outside of comments, as the heads of the files
/// promise.
fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    let is_setting = |line: &str| !line.trim_start().starts_with('#') && line.contains(from);
    let count = text.lines().filter(|line| is_setting(line)).count();
    ensure!(
        count == 1,
        "a file of deploy/envoy has {from:?} on {count} lines; this benchmark expects one"
    );
    let lines = text.lines().map(|line| {
        if is_setting(line) {
            line.replace(from, to) + "\n"
        } else {
            line.to_owned() + "\n"
        }
    });
    Ok(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(policy: Policy) -> Value {
        let address = SocketAddr::from(([127, 0, 0, 1], 7_000));
        let [filter, list] = ["/tmp/f.wasm", "/tmp/e.json"].map(Path::new);
        envoy(policy, filter, list, address).unwrap()
    }

    #[test]
    fn the_lanes_differ_in_the_filter_and_the_policy_alone() {
        let (mut ours, plain) = (built(Policy::Trimtab), built(Policy::LeastRequest));
        assert!(ours.to_string().contains("/tmp/f.wasm"));
        assert!(!plain.to_string().contains("wasm.v3"));
        assert!(!plain.to_string().contains("override_host.v3"));
        without_trimtab(&mut ours).unwrap();
        assert_eq!(ours, plain);
    }

    #[test]
    fn the_aggregator_is_told_addresses_alone() {
        let server = SocketAddr::from(([127, 0, 0, 1], 8_001));
        assert_eq!(
            pool(&[server]),
            json!({"endpoints": [{"address": "127.0.0.1:8001"}]})
        );
        let text = aggregator(server, Path::new("/tmp/pool.yaml")).unwrap();
        assert!(text.contains("/tmp/pool.yaml") && !text.contains("class"));
    }

    #[test]
    fn a_value_that_is_not_there_once_is_an_error() {
        assert!(replaced("a: 1\n# a: 1\n", "a: 1", "b").is_ok());
        assert!(replaced("a: 1\na: 1\n", "a: 1", "b").is_err());
        assert!(replaced("# a: 1\n", "a: 1", "b").is_err());
    }
}
