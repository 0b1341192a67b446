//! Endpoints as a Kubernetes cluster declares them: an InferencePool, a Service, or pods by label.
//!
//! Comes in: what the API server has (`watch`). Goes out: whole lists, as from every source. Never: a list that shrinks because the API
//! server is away, refuses, or has not yet listed everything.
//!
//! Who is an endpoint, drains or is left out is decided in `found`, what a node adds in `nodes`.

mod client;
mod follower;
mod found;
mod inference_pool;
mod nodes;
mod pods;
pub(crate) mod pools;
mod section;
mod slices;
mod watch;

pub use section::{InferencePools, Kubernetes, Name, Reading, Selection, Source};

use super::{Targets, publish, publish_with};
use crate::metrics::PoolMetrics;
use follower::Follower;
use std::time::Duration;
use tokio::sync::watch as channel;

/// From one list to the next at least: hundreds of pods that change at once are a few lists. The first change of them does not wait.
const PACE: Duration = Duration::from_millis(20);
/// After a configuration of the client that could not be used.
const RETRY: Duration = Duration::from_secs(5);

/// Follows what the settings name until the receivers are gone.
pub(super) async fn follow(
    settings: &Kubernetes,
    out: &channel::Sender<Targets>,
    metrics: &PoolMetrics,
) {
    while !out.is_closed() {
        match client::client(&settings.reading).await {
            Ok(client) => {
                let mut follower = Follower::start(client, settings.clone());
                loop {
                    let told = tokio::select! {
                        told = follower.changed() => told,
                        () = out.closed() => return,
                    };
                    let before = out.borrow().listed.clone();
                    let before = before.as_deref().map_or(&[][..], Vec::as_slice);
                    let (listed, error) = follower.list(told, before);
                    if listed.is_some() || error.is_some() {
                        publish_with(out, listed, error, metrics);
                    }
                    tokio::time::sleep(PACE).await;
                }
            }
            Err(why) => publish(out, Err(why), metrics),
        }
        tokio::time::sleep(RETRY).await;
    }
}
