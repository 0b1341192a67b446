//! Endpoints as a Kubernetes cluster declares them: by an InferencePool, a Service, or labels of
//! pods.
//!
//! Input: what the API server has (`watch`). Output: whole lists, as from every source. If the API
//! server is away, refuses, or has not listed everything yet, the last list stays.
//!
//! `found` decides which pods are endpoints and which of them drain. `hardware` adds their hardware
//! classes and zones.

mod client;
mod follower;
mod found;
mod hardware;
mod inference_pool;
mod pods;
pub(crate) mod pools;
mod section;
mod shared;
mod slices;
mod watch;

pub(crate) use client::client as connect;
pub(crate) use hardware::Clusters;
pub use section::{InferencePools, Kubernetes, Name, Reading, Selection, Source};

use super::{Targets, publish, publish_with};
use crate::metrics::PoolMetrics;
use follower::Follower;
use std::time::Duration;
use tokio::sync::watch as channel;

/// Minimum time between two lists, so that hundreds of pods that change together make few lists.
/// The first of these changes does not wait.
const PACE: Duration = Duration::from_millis(20);
/// The pause after a client configuration that could not be used.
const RETRY: Duration = Duration::from_secs(5);

/// Follows the source that the settings name until the receivers are gone.
pub(super) async fn follow(
    settings: &Kubernetes,
    clusters: &Clusters,
    out: &channel::Sender<Targets>,
    metrics: &PoolMetrics,
) {
    while !out.is_closed() {
        match client::client(&settings.reading).await {
            Ok(client) => {
                let mut follower = Follower::start(client, settings.clone(), clusters);
                loop {
                    let told = tokio::select! {
                        told = follower.changed() => told,
                        () = out.closed() => return,
                    };
                    let before = out.borrow().listed.clone();
                    let before = before.as_deref().map_or(&[][..], Vec::as_slice);
                    let list = follower.list(told, before);
                    if list.listed.is_some() || list.error.is_some() {
                        publish_with(out, list, metrics);
                    }
                    tokio::time::sleep(PACE).await;
                }
            }
            Err(why) => publish(out, Err(why), metrics),
        }
        tokio::time::sleep(RETRY).await;
    }
}
