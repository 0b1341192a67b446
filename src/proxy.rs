//! `trimtab proxy` is a small HTTP/1.1 proxy that hosts the real filter, to try it on one machine
//! without Envoy.
//!
//! It sends each client's request to the hosts that the filter names, in the filter's order. It
//! does not overrule a decision of the filter. It is not for production: it has no TLS, no HTTP/2,
//! no upgrades and no limits on clients. The filter runs in wasmtime and not in V8, so its *cost*
//! here says nothing about Envoy.
//!
//! Each worker is a thread with one VM (`worker`). Requests are asynchronous tasks (`exchange`). A
//! task hands every part of a message to its worker and passes on what comes back.

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
/// The filter, its configuration or the listening address cannot be used. The message says which
/// and why.
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
