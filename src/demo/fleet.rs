//! Runs a lane's model servers in this process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use trimtab_modelserver::{Profile, Server, Spec};

use super::scenario;

/// Page with the gauges of a server that the live view shows.
const GAUGES: &str = "/metrics/?name[]=vllm:num_requests_running&name[]=vllm:num_requests_waiting";
/// A server that does not answer within this time is shown as unknown.
const ASK_LIMIT: Duration = Duration::from_millis(400);
/// Largest page that is read. The selected page is well under a kilobyte per server.
const PAGE_MAX_BYTES: usize = 64 * 1024;

/// A server as the aggregator's configuration describes it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Hardware class.
    pub(crate) class: String,
    /// Profile of that hardware.
    pub(crate) profile: Profile,
}

/// The running servers of one lane. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    servers: Vec<(String, Server)>,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Fleet {
    /// Starts the servers of one lane on free ports.
    pub(crate) async fn start() -> Result<Self> {
        let mut servers = Vec::new();
        for spec in scenario::fleet() {
            let name = spec.name.clone();
            let server = Server::start(spec)
                .await
                .with_context(|| format!("cannot start model server {name}"))?;
            servers.push((name, server));
        }
        Ok(Self {
            servers,
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// Returns the servers' addresses in the order of [`scenario::fleet`].
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.servers
            .iter()
            .map(|(_, server)| server.address())
            .collect()
    }

    /// Returns each server as an operator would list it. The slow one has another class, as another
    /// accelerator would. Nothing says that the last one's cache is small.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let target = |(address, spec): (SocketAddr, Spec)| {
            let class = if spec.speed < 1.0 {
                "slow"
            } else {
                spec.profile.name
            };
            Target {
                address,
                class: class.to_owned(),
                profile: spec.effective_profile(),
            }
        };
        self.addresses()
            .into_iter()
            .zip(scenario::fleet())
            .map(target)
            .collect()
    }

    /// Returns the name of the server at `address`, and the address itself if it belongs to none of
    /// them.
    pub(crate) fn name_of(&self, address: &str) -> String {
        let found = self
            .servers
            .iter()
            .find(|(_, server)| server.address().to_string() == address);
        found.map_or_else(|| address.to_owned(), |(name, _)| name.clone())
    }

    /// Returns the numbers of running and waiting requests of each server, from its metrics page;
    /// absent if it does not answer.
    pub(crate) async fn loads(&self) -> Vec<(String, Option<(u32, u32)>)> {
        let asked = self.servers.iter().map(|(name, server)| async move {
            let load = tokio::time::timeout(ASK_LIMIT, self.load(server.address()))
                .await
                .ok()
                .flatten();
            (name.clone(), load)
        });
        futures_util::future::join_all(asked).await
    }

    async fn load(&self, address: SocketAddr) -> Option<(u32, u32)> {
        let uri = format!("http://{address}{GAUGES}").parse().ok()?;
        let response = self.client.get(uri).await.ok()?;
        let body = Limited::new(response.into_body(), PAGE_MAX_BYTES)
            .collect()
            .await
            .ok()?
            .to_bytes();
        let page = std::str::from_utf8(&body).ok()?;
        Some((
            gauge(page, "vllm:num_requests_running")?,
            gauge(page, "vllm:num_requests_waiting")?,
        ))
    }
}

/// Returns the value of a gauge in a metrics page.
fn gauge(page: &str, name: &str) -> Option<u32> {
    let line = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    })?;
    let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
    (0.0..=f64::from(u32::MAX))
        .contains(&value)
        .then_some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_found_by_their_whole_name() {
        let page = "# HELP vllm:num_requests_waiting x\nvllm:num_requests_waiting_by_reason{a=\"b\"} 9.0\nvllm:num_requests_waiting{engine=\"0\"} 3.0\n";
        assert_eq!(gauge(page, "vllm:num_requests_waiting"), Some(3));
        assert_eq!(gauge(page, "vllm:num_requests_running"), None);
    }

    #[tokio::test]
    async fn a_fleet_starts_says_its_loads_and_knows_its_names() {
        let fleet = Fleet::start().await.unwrap();
        let loads = fleet.loads().await;
        let names: Vec<&str> = loads.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["fast-1", "fast-2", "slow", "small-kv"]);
        assert!(
            loads.iter().all(|(_, load)| *load == Some((0, 0))),
            "{loads:?}"
        );
        assert_eq!(fleet.name_of(&fleet.addresses()[2].to_string()), "slow");
        assert_eq!(fleet.name_of("10.0.0.1:1"), "10.0.0.1:1");
    }
}
