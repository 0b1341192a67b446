//! Starts one lane: model servers, a stock Envoy, and for Trimtab an aggregator.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::config;
use super::fleet;
use super::policy::Policy;
use crate::process::envoy::Options;
use crate::process::{Child, Envoy};

/// Longest time until servers and tables are there.
const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Paths of the programs and the filter that lanes need.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) trimtab: PathBuf,
    pub(super) envoy: PathBuf,
    pub(super) filter: PathBuf,
}

/// A running lane. Its parts end when it is dropped, senders before receivers.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) policy: Policy,
    /// Address for the lane's requests.
    pub(super) address: SocketAddr,
    envoy: Envoy,
    _aggregator: Option<Child>,
    _fleet: Child,
    /// Names of the servers by address.
    servers: BTreeMap<SocketAddr, String>,
}

impl Lane {
    /// Starts everything in `dir`, which is created. Waits until requests can be sent and, in
    /// Trimtab's lane, until there is a table.
    pub(super) async fn start(policy: Policy, programs: &Programs, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let (fleet, servers) = start_fleet(&programs.trimtab, dir).await?;
        let addresses: Vec<SocketAddr> = servers.keys().copied().collect();
        // Another program could take the port before the aggregator does. Then the aggregator fails
        // and nothing is measured.
        let listen = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .context("cannot find a free port")?;
        let aggregator = match policy {
            Policy::Trimtab => Some(start_aggregator(
                &programs.trimtab,
                listen,
                &addresses,
                dir,
            )?),
            Policy::LeastRequest => None,
        };
        let endpoints = dir.join("endpoints.json");
        write(&endpoints, &config::endpoints(&addresses).to_string())?;
        let bootstrap = dir.join("envoy.json");
        let envoy = config::envoy(policy, &programs.filter, &endpoints, listen)?;
        write(&bootstrap, &envoy.to_string())?;
        let options = Options::new(programs.envoy.clone(), bootstrap, dir.to_owned());
        let envoy = Envoy::start(&options).await?;
        let address = envoy.listener(config::LISTENER).await?;
        let lane = Self {
            policy,
            address,
            envoy,
            _aggregator: aggregator,
            _fleet: fleet,
            servers,
        };
        if policy == Policy::Trimtab {
            lane.wait_for_a_table().await?;
        }
        Ok(lane)
    }

    /// Waits until the filter has a table of all servers. A filter without a table would leave
    /// every choice to Envoy's fallback, so both lanes would be the same.
    async fn wait_for_a_table(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let gauge = self.envoy.filter_metrics("trimtab_table_endpoints").await?;
            if gauge
                .values()
                .any(|count| *count >= self.servers.len() as u64)
            {
                return Ok(());
            }
            ensure!(
                start.elapsed() < READY_WITHIN,
                "the filter has no table of {} servers after {READY_WITHIN:?}; the end of Envoy's log:\n{}",
                self.servers.len(),
                self.envoy.log_tail(20)
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns how many requests Envoy has sent to each server so far, by the server's name,
    /// including retries.
    pub(super) async fn sent(&self) -> Result<BTreeMap<String, u64>> {
        let page = self.envoy.page("/clusters?format=json").await?;
        let page: Value =
            serde_json::from_str(&page).context("Envoy's page of clusters is not JSON")?;
        let counts = requests_by_host(&page)?;
        let named = self.servers.iter().map(|(address, name)| {
            let count = counts.get(&address.to_string()).copied();
            (name.clone(), count.unwrap_or_default())
        });
        Ok(named.collect())
    }

    /// Returns the numbers of the filter's decisions by reason.
    pub(super) async fn decisions(&self) -> Result<BTreeMap<String, u64>> {
        let stats = self.envoy.filter_metrics("trimtab_decisions_total").await?;
        let reason = |name: &str| Some(name.rsplit_once(".reason.")?.1.to_owned());
        Ok(stats
            .into_iter()
            .filter_map(|(name, count)| Some((reason(&name)?, count)))
            .collect())
    }
}

/// Returns `rq_total` of every host of the model servers' cluster.
fn requests_by_host(page: &Value) -> Result<BTreeMap<String, u64>> {
    let clusters = page["cluster_statuses"].as_array();
    let hosts = clusters
        .into_iter()
        .flatten()
        .find(|cluster| cluster["name"] == config::CLUSTER)
        .and_then(|cluster| cluster["host_statuses"].as_array())
        .context("Envoy's page of clusters has no model servers")?;
    let count = |host: &Value| {
        let socket = &host["address"]["socket_address"];
        let stats = host["stats"].as_array()?;
        let total = stats.iter().find(|stat| stat["name"] == "rq_total")?;
        // The JSON form of a 64-bit counter is a string. It is absent at 0.
        let total = total["value"].as_str().unwrap_or("0").parse().ok()?;
        let address = format!("{}:{}", socket["address"].as_str()?, socket["port_value"]);
        Some((address, total))
    };
    Ok(hosts.iter().filter_map(count).collect())
}

/// Starts the model servers in one process. Returns their names by the addresses that it prints.
async fn start_fleet(trimtab: &Path, dir: &Path) -> Result<(Child, BTreeMap<SocketAddr, String>)> {
    let mut command = Command::new(trimtab);
    command.arg("model-server").args(fleet::arguments());
    let mut child = Child::spawn("model servers", &command, &dir.join("servers.log"))?;
    let start = Instant::now();
    loop {
        let servers: BTreeMap<_, _> = child
            .log_tail(100)
            .lines()
            .filter_map(named_address)
            .collect();
        if servers.len() == fleet::SERVERS {
            return Ok((child, servers));
        }
        if child.try_wait()?.is_some() || start.elapsed() > READY_WITHIN {
            bail!("the model servers did not start:\n{}", child.log_tail(20));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Parses `name=slow address=127.0.0.1:1234 profile=..`.
fn named_address(line: &str) -> Option<(SocketAddr, String)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.strip_prefix("name=")?;
    let address = words.next()?.strip_prefix("address=")?;
    Some((address.parse().ok()?, name.to_owned()))
}

fn start_aggregator(
    trimtab: &Path,
    listen: SocketAddr,
    servers: &[SocketAddr],
    dir: &Path,
) -> Result<Child> {
    let pool = dir.join("pool.json");
    write(&pool, &config::pool(servers).to_string())?;
    let file = dir.join("aggregator.yaml");
    write(&file, &config::aggregator(listen, &pool)?)?;
    let mut command = Command::new(trimtab);
    command.arg("aggregator").arg("--config").arg(file);
    Child::spawn("aggregator", &command, &dir.join("aggregator.log"))
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_server_is_known_by_what_it_prints() {
        let (address, name) =
            named_address("name=slow address=127.0.0.1:81 profile=a100 speed=0.4").unwrap();
        assert_eq!((address.port(), name.as_str()), (81, "slow"));
        assert!(named_address("2026-11-29 INFO something else").is_none());
    }

    #[test]
    fn requests_are_counted_by_host_and_a_host_without_any_counts_none() {
        let host = |port: u16, stats: Value| json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "stats": stats});
        let page = json!({"cluster_statuses": [
            {"name": "other"},
            {"name": config::CLUSTER, "host_statuses": [
                host(1, json!([{"name": "cx_total", "value": "9"}, {"name": "rq_total", "value": "12"}])),
                host(2, json!([{"name": "rq_total"}])),
            ]},
        ]});
        let counts = requests_by_host(&page).unwrap();
        assert_eq!((counts["127.0.0.1:1"], counts["127.0.0.1:2"]), (12, 0));
        assert!(requests_by_host(&json!({})).is_err());
    }
}
