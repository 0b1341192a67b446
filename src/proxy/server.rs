//! Starts the proxy, accepts connections, stops.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use trimtab_filter::Form;
use trimtab_wasmhost::{Limits, Metric, Module, Options, Shared};

use super::args::Args;
use super::callout::Callouts;
use super::exchange::Gateway;
use super::messages::{Event, Mailbox};
use super::pool::Pool;
use super::upstream::Upstreams;
use super::worker::{Plan, Worker};

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Shared,
    workers: Vec<(Mailbox, JoinHandle<()>)>,
    stop: oneshot::Sender<()>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Compiles the filter, starts the workers and listens. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// - The filter cannot be read or is no filter.
    /// - Its configuration has problems, or its destination is something else than a list of hosts.
    /// - A cluster is given twice.
    /// - The address is taken.
    pub async fn start(args: &Args) -> anyhow::Result<Self> {
        let config = std::fs::read(&args.config).with_context(|| {
            format!(
                "cannot read the filter's configuration {}",
                args.config.display()
            )
        })?;
        let settings = trimtab_filter::Config::parse(&config)
            .with_context(|| format!("the filter's configuration {}", args.config.display()))?;
        check_clusters(args, &settings.cluster)?;
        let destination = settings.destination;
        if destination.form != Form::OverrideHost || destination.hbone.is_some() {
            bail!(
                "{}: destination: this proxy reads a plain list of hosts; leave `form` and `hbone` out",
                args.config.display()
            );
        }
        let filter = args.filter.clone();
        let module =
            tokio::task::spawn_blocking(move || Module::from_file(filter, Limits::default()))
                .await??;
        let shared = Shared::new();
        let plan = Plan {
            module,
            shared: shared.clone(),
            config: config.into(),
            options: Options {
                allow_on_headers_stop_iteration: true,
                buffer_limit_bytes: args.buffer_limit_bytes,
            },
            callouts: Arc::new(Callouts::new(&args.clusters)),
            runtime: Handle::current(),
        };
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        let address = listener.local_addr()?;
        let workers = start_workers(&plan, usize::from(args.workers.max(1))).await?;
        let gateway = Gateway {
            workers: workers.iter().map(|(mailbox, _)| mailbox.clone()).collect(),
            next: AtomicU64::new(1),
            upstreams: Upstreams::new(&args.endpoints),
            pool: Pool::new(args.connect_timeout()),
            destination_header: destination.header,
            explain_header: settings.explain_header,
        };
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, Arc::new(gateway), stopped));
        Ok(Self {
            address,
            shared,
            workers,
            stop,
            accepting,
        })
    }

    /// Returns the address on which the proxy listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the filter's metrics, sorted by name.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        self.shared.all_metrics()
    }

    /// Stops accepting, finishes the requests under way, and ends the VMs.
    pub async fn shutdown(self) {
        let _ = self.stop.send(());
        let _ = self.accepting.await;
        for (mailbox, _) in &self.workers {
            mailbox.send(Event::Stop);
        }
        let joined = tokio::task::spawn_blocking(move || {
            for (_, thread) in self.workers {
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// Refuses two clusters of one name. Warns if the cluster that the filter calls is not given:
/// without it there is never a table.
fn check_clusters(args: &Args, wanted: &str) -> anyhow::Result<()> {
    let names: Vec<&str> = args
        .clusters
        .iter()
        .map(|cluster| cluster.name.as_str())
        .collect();
    for (at, name) in names.iter().enumerate() {
        if names.iter().take(at).any(|before| before == name) {
            bail!("--cluster {name} is given twice; give each cluster a name of its own");
        }
    }
    if !names.contains(&wanted) {
        tracing::warn!(
            "the filter's aggregator.cluster is {wanted:?}, which no --cluster names: there will be no table; add --cluster {wanted}=http://HOST:PORT"
        );
    }
    Ok(())
}

/// Starts the workers. Each VM is made on its own thread and stays there.
async fn start_workers(
    plan: &Plan,
    count: usize,
) -> anyhow::Result<Vec<(Mailbox, JoinHandle<()>)>> {
    let mut workers = Vec::with_capacity(count);
    for number in 0..count {
        let (events, inbox) = mpsc::channel();
        let mailbox = Mailbox { events };
        let (plan, own) = (plan.clone(), mailbox.clone());
        let (ready, started) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("filter-{number}"))
            .spawn(move || match Worker::new(plan, own) {
                Ok(worker) => {
                    let _ = ready.send(Ok(()));
                    worker.run(&inbox);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })?;
        started.await.context("a worker ended before it began")??;
        workers.push((mailbox, thread));
    }
    Ok(workers)
}

async fn accept(listener: TcpListener, gateway: Arc<Gateway>, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Probably there are too many open files. After the pause some may be closed.
                    tracing::warn!("cannot accept: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
        };
        let _ = stream.set_nodelay(true);
        let gateway = Arc::clone(&gateway);
        let service = service_fn(move |request| {
            let gateway = Arc::clone(&gateway);
            async move { Ok::<_, std::convert::Infallible>(gateway.serve(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("connection ended: {error}");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
