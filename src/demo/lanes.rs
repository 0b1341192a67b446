//! Starts everything that a run needs: fleets, aggregator, proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::Args;
use super::control::Control;
use super::envoy::{self, AGGREGATOR};
use super::fleet::Fleet;
use super::policy::Policy;
use crate::load::{Balancer, Client, Lane, Progress, Route};
use crate::process::envoy::Options;
use crate::process::{Envoy, find_envoy};
use crate::proxy;

/// Longest time that a proxy may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Everything that runs. When it is dropped, its fields end in their order, senders before
/// receivers.
#[derive(Debug)]
pub(crate) struct Setup {
    /// In the order of [`Policy::ALL`].
    pub(crate) lanes: Vec<Arc<Lane>>,
    /// Version of Envoy; absent without Envoy.
    pub(crate) envoy_version: Option<String>,
    /// Description for the reader.
    pub(crate) description: String,
    proxy: Proxy,
    pub(crate) control: Control,
    /// One per lane.
    pub(crate) fleets: Vec<Fleet>,
    _files: TempDir,
}

/// The proxy between client and servers.
#[derive(Debug)]
enum Proxy {
    Envoy(Envoy),
    /// For the trimtab lane alone.
    Wasmtime(proxy::Proxy),
}

impl Setup {
    pub(crate) async fn start(args: &Args) -> Result<Self> {
        ensure!(
            args.filter.is_file(),
            "there is no filter at {}: build it with `cargo xtask wasm`, or name it with --filter",
            args.filter.display()
        );
        let files = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut fleets = Vec::new();
        let mut policies = args.lanes.clone();
        policies.sort_unstable();
        policies.dedup();
        for _ in &policies {
            fleets.push(Fleet::start().await?);
        }
        // Only the servers of the trimtab lane are scraped. The other lanes balance without
        // metrics.
        let observed = policies.iter().zip(&fleets);
        let mut observed = observed.filter(|(policy, _)| **policy == Policy::Trimtab);
        let observed = observed.next().map(|(_, fleet)| fleet.targets());
        let observed = observed.unwrap_or_default();
        let control = Control::start(&observed).await?;
        let start = if args.no_envoy {
            start_wasmtime(args, &fleets, control.address(), files.path()).await
        } else {
            start_envoy(args, &policies, &fleets, control.address(), files.path()).await
        };
        let Started {
            proxy,
            routes,
            version,
            description,
        } = start?;
        let lane = |(policy, route): (Policy, Route)| {
            Arc::new(Lane {
                name: policy.name(),
                route,
                progress: Progress::default(),
                client: Client::default(),
            })
        };
        let lanes = policies.into_iter().zip(routes).map(lane).collect();
        Ok(Self {
            lanes,
            envoy_version: version,
            description,
            proxy,
            control,
            fleets,
            _files: files,
        })
    }

    /// Ends proxy and aggregator in order.
    pub(crate) async fn stop(self) {
        match self.proxy {
            Proxy::Envoy(mut envoy) => {
                // Waiting for a process blocks. If it fails, the kernel ends the process together
                // with this one.
                let _ended =
                    tokio::task::spawn_blocking(move || envoy.child().terminate(GRACE)).await;
            }
            Proxy::Wasmtime(proxy) => {
                let _late = tokio::time::timeout(GRACE, proxy.shutdown()).await;
            }
        }
        self.control.stop().await;
    }
}

/// A running proxy and the routes through it.
struct Started {
    proxy: Proxy,
    /// In the order of the lanes.
    routes: Vec<Route>,
    version: Option<String>,
    description: String,
}

async fn start_envoy(
    args: &Args,
    policies: &[Policy],
    fleets: &[Fleet],
    aggregator: SocketAddr,
    dir: &Path,
) -> Result<Started> {
    let binary = find_envoy().context("the demo needs an Envoy (or --no-envoy)")?;
    let filter = std::path::absolute(&args.filter).context("cannot tell where the filter is")?;
    let lanes: Vec<_> = policies
        .iter()
        .zip(fleets)
        .map(|(policy, fleet)| (*policy, fleet.addresses()))
        .collect();
    let config = dir.join("envoy.json");
    write(&config, &envoy::bootstrap(&lanes, aggregator, &filter))?;
    let envoy = Envoy::start(&Options::new(binary, config, dir.to_owned())).await?;
    let mut routes = Vec::new();
    for policy in policies {
        routes.push(Route::Proxy(envoy.listener(policy.name()).await?));
    }
    let version = version(&envoy.page("/server_info").await?);
    let description = format!(
        "{} lane(s) through one Envoy {version}, each over 4 model servers of its own",
        policies.len()
    );
    Ok(Started {
        proxy: Proxy::Envoy(envoy),
        routes,
        version: Some(version),
        description,
    })
}

async fn start_wasmtime(
    args: &Args,
    fleets: &[Fleet],
    aggregator: SocketAddr,
    dir: &Path,
) -> Result<Started> {
    let config = dir.join("plugin.json");
    write(&config, &envoy::plugin())?;
    let [trimtab, least, robin] =
        [0, 1, 2].map(|lane| fleets.get(lane).map(Fleet::addresses).unwrap_or_default());
    let options = proxy::Args {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        filter: args.filter.clone(),
        config,
        clusters: vec![proxy::Cluster {
            name: AGGREGATOR.to_owned(),
            authority: aggregator.to_string(),
        }],
        endpoints: trimtab,
        workers: 2,
        connect_timeout_ms: 1_000,
        buffer_limit_bytes: 32 * 1024,
    };
    let proxy = proxy::Proxy::start(&options).await?;
    let routes = vec![
        Route::Proxy(proxy.address()),
        Route::Direct(Balancer::least_request(&least, args.seed)),
        Route::Direct(Balancer::round_robin(&robin)),
    ];
    let description = "without Envoy: the trimtab lane goes through `trimtab proxy` (the same filter in wasmtime), the other two \
        straight to their servers, balanced by the load client with the rules of Envoy's policies"
        .to_owned();
    Ok(Started {
        proxy: Proxy::Wasmtime(proxy),
        routes,
        version: None,
        description,
    })
}

fn write(file: &Path, json: &serde_json::Value) -> Result<()> {
    std::fs::write(file, json.to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Returns `1.40.0` from `.../1.40.0/Clean/RELEASE/BoringSSL`.
fn version(server_info: &str) -> String {
    let info: serde_json::Value = serde_json::from_str(server_info).unwrap_or_default();
    let whole = info
        .get("version")
        .and_then(|version| version.as_str())
        .unwrap_or_default();
    whole
        .split('/')
        .nth(1)
        .unwrap_or("of unknown version")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_envoys_own_words() {
        assert_eq!(
            version(r#"{"version": "8a1b/1.40.0/Clean/RELEASE/BoringSSL"}"#),
            "1.40.0"
        );
        assert_eq!(version("nonsense"), "of unknown version");
    }
}
