//! `trimtab proxy`: a small HTTP/1.1 proxy that hosts the real filter, to try it on one machine without Envoy.
//!
//! Comes in: requests of clients. Goes out: the same requests to the hosts that the filter names, in its order. Never:
//! a decision about a request that the filter has taken; production use (no TLS, no HTTP/2, no upgrades, no limits on
//! clients). The filter runs in wasmtime and not in V8, so its *cost* here says nothing about Envoy.
//!
//! Each worker is a thread with one VM (`worker`); requests are asynchronous tasks (`exchange`) that hand every part
//! of a message to their worker and pass on what comes back.

mod access;
mod args;
mod callout;
mod exchange;
mod messages;
mod pipe;
mod pool;
mod relay;
mod server;
mod upstream;
mod worker;
mod world;

pub use args::{Args, Cluster};
pub use server::Proxy;

use anyhow::Context;

/// Serves until Ctrl-C or SIGTERM, then finishes the requests under way.
///
/// # Errors
/// When the filter, its configuration or the listening address cannot be used; the message says which and why.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let proxy = Proxy::start(&args).await?;
    tracing::info!(
        address = %proxy.address(),
        workers = args.workers,
        "trimtab proxy hosts the filter in wasmtime, for local testing only: use Envoy or Istio to serve"
    );
    stop_signal().await?;
    tracing::info!("finishing requests");
    proxy.shutdown().await;
    Ok(())
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
