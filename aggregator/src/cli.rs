//! The command line, also used as a subcommand of `trimtab`.

use crate::app::App;
use crate::config::{self, Config};
use crate::members::file;
use crate::serve::role::Role;
use anyhow::Context;
use std::io::IsTerminal;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Scrape model servers and publish the load table that Trimtab's filter reads.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration, YAML. docs/configuration.md has every field,
    /// aggregator/config.example.yaml an example
    ///
    /// `listen` (0.0.0.0:9190) serves proxies, people, health checks and Prometheus. The sections
    /// `people` and `health` give these callers a listener of their own. An endpoint's field `zone`
    /// is only shown, in the table's JSON: nothing is decided by it.
    #[arg(long, value_name = "FILE", env = "TRIMTAB_AGGREGATOR_CONFIG")]
    pub config: PathBuf,
    /// Read and check the configuration and the endpoint files that it names, report every problem,
    /// start nothing. A file that does not exist yet is no problem: its pool waits for it
    #[arg(long)]
    pub check: bool,
    /// What to log, as `info` or `trimtab_aggregator=debug,warn`
    #[arg(
        long,
        value_name = "FILTER",
        env = "TRIMTAB_LOG",
        default_value = "info"
    )]
    pub log: String,
    /// Log one JSON object a line
    #[arg(long)]
    pub log_json: bool,
}

/// Runs until a signal (SIGINT or SIGTERM) stops the process. With `--check`, returns at once.
///
/// # Errors
/// Names the file and every problem in it, or says why an address could not be bound.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the shape of every subcommand"
)]
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = load(&args)?;
    if args.check {
        return check(&args, &config);
    }
    start_log(&args)?;
    for warning in config.listen.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let app = App::build(config).await?;
        let at = |role| app.address_for(role).to_string();
        let (proxies, people, health) = (at(Role::Proxies), at(Role::People), at(Role::Health));
        tracing::info!(proxies, people, health, "listening");
        app.run(signal()).await.context("serving stopped")
    })
}

fn load(args: &Args) -> anyhow::Result<Config> {
    let shown = args.config.display();
    let text = file::read(&args.config).with_context(|| format!("{shown} cannot be read"))?;
    Config::from_yaml(&text).map_err(|problems| anyhow::anyhow!("{shown}:\n{problems}"))
}

fn check(args: &Args, config: &Config) -> anyhow::Result<()> {
    let (shown, files) = (args.config.display(), config::check_files(config));
    if !files.problems.is_empty() {
        anyhow::bail!("{shown}:\n{}", files.problems.join("\n"));
    }
    for note in &files.notes {
        eprintln!("{shown}: note: {note}");
    }
    let count = config.pools.len();
    let pools = if count == 1 { "pool" } else { "pools" };
    println!("{shown}: fine, {count} {pools}");
    Ok(())
}

fn start_log(args: &Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|error| anyhow::anyhow!("--log {}: is not a filter: {error}", args.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // If the caller has set up a log, that log stays.
    let _ = if args.log_json {
        log.json().try_init()
    } else {
        log.try_init()
    };
    Ok(())
}

/// Completes when a signal asks the process to stop.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
