//! The A and AAAA records of a name: a headless Kubernetes Service, Consul, a hosts file.

use super::{Target, Targets, publish};
use crate::metrics::PoolMetrics;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use trimtab_estimate::EndpointSpec;

/// Resolves `host` every `interval`. A name without addresses is an error: an empty answer from a resolver is more often a
/// fault than the truth, and the last list does no harm, because endpoints that are gone turn suspect.
pub(super) async fn follow(
    host: &str,
    port: u16,
    class: &str,
    interval: Duration,
    out: &watch::Sender<Targets>,
    metrics: &PoolMetrics,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !out.is_closed() {
        ticks.tick().await;
        let outcome = match tokio::time::timeout(
            interval.max(Duration::from_secs(5)),
            tokio::net::lookup_host((host, port)),
        )
        .await
        {
            Ok(Ok(addresses)) => targets(addresses.collect(), class)
                .ok_or_else(|| format!("{host} has no addresses")),
            Ok(Err(error)) => Err(format!("{host} could not be resolved: {error}")),
            Err(_) => Err(format!("{host}: the resolver did not answer")),
        };
        publish(out, outcome, metrics);
    }
}

/// Sorted, because resolvers rotate their answers and an order is not news.
fn targets(mut addresses: Vec<SocketAddr>, class: &str) -> Option<Vec<Target>> {
    addresses.sort_unstable();
    addresses.dedup();
    let target = |address: SocketAddr| Target {
        spec: EndpointSpec {
            address: address.to_string(),
            class: class.to_owned(),
            ..EndpointSpec::default()
        },
        metrics: address,
        engine: None,
    };
    (!addresses.is_empty()).then(|| addresses.into_iter().map(target).collect())
}
