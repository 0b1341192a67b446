//! Finds and starts a real Envoy, and reads its admin interface.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail};
use serde_json::Value;
use trimtab_filter::names;

use super::child::Child;
use super::http;

/// Number of lines of Envoy's log in an error message.
const LOG_LINES: usize = 40;
/// Interval at which a starting Envoy is asked whether it is ready.
const POLL: Duration = Duration::from_millis(20);
/// Timeout of one request to the admin interface.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Prefix that Envoy puts before the names of the filter's metrics.
const FILTER_PREFIX: &str = "wasmcustom.";

/// How to start Envoy.
#[derive(Debug, Clone)]
pub struct Options {
    /// Envoy's binary; see [`find_envoy`].
    pub binary: PathBuf,
    /// Bootstrap configuration. The file's extension says whether it is YAML or JSON. The admin
    /// interface may listen on port 0.
    pub config: PathBuf,
    /// Folder for the log and other files of this Envoy. It must exist.
    pub dir: PathBuf,
    /// Number of worker threads.
    pub concurrency: u32,
    /// Value of `--log-level`.
    pub log_level: String,
    /// Longest time that Envoy may take to become ready.
    pub ready_within: Duration,
}

impl Options {
    /// Returns options with two workers, log level `warning` and 30 s to become ready.
    #[must_use]
    pub fn new(binary: PathBuf, config: PathBuf, dir: PathBuf) -> Self {
        Self {
            binary,
            config,
            dir,
            concurrency: 2,
            log_level: "warning".to_owned(),
            ready_within: Duration::from_secs(30),
        }
    }
}

/// A running Envoy. It ends when dropped.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    admin: SocketAddr,
}

/// Returns the Envoy to use: `$TRIMTAB_ENVOY` (set by `cargo xtask`), else `$ENVOY`, else `envoy`
/// on the PATH.
///
/// # Errors
/// No Envoy was found, or a variable does not name a file. The message says how to get one.
pub fn find_envoy() -> Result<PathBuf> {
    for name in ["TRIMTAB_ENVOY", "ENVOY"] {
        if let Some(path) = env::var_os(name)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
        {
            if !path.is_file() {
                bail!(
                    "{name}={} is not a file; name an Envoy binary there or unset it",
                    path.display()
                );
            }
            return Ok(path);
        }
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|dir| dir.join("envoy"))
        .find(|file| file.is_file());
    found.context("no Envoy: set ENVOY to its binary, put `envoy` on the PATH, or use `cargo xtask`, which fetches one")
}

impl Envoy {
    /// Starts Envoy and waits until `/ready` answers 200: listeners are up, clusters are warm.
    ///
    /// # Errors
    /// Envoy cannot be started, ends (for example because it refuses the configuration), or is not
    /// ready in time. The message holds the end of its log.
    pub async fn start(options: &Options) -> Result<Self> {
        let address_file = options.dir.join("admin-address");
        // A file of an earlier start would be read as the address of this Envoy.
        let _absent = std::fs::remove_file(&address_file);
        let mut command = Command::new(&options.binary);
        command
            .arg("--config-path")
            .arg(&options.config)
            .arg("--admin-address-path")
            .arg(&address_file);
        command.args([
            "--concurrency",
            &options.concurrency.to_string(),
            "--log-level",
            &options.log_level,
        ]);
        // Without hot restart Envoy needs no base id. It also has no shared memory segment that a
        // killed Envoy would leave in /dev/shm.
        command.arg("--disable-hot-restart");
        let mut child = Child::spawn("envoy", &command, &options.dir.join("envoy.log"))?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                bail!(
                    "envoy ended with {status} before it was ready; the end of {}:\n{}",
                    child.log_path().display(),
                    child.log_tail(LOG_LINES)
                );
            }
            if let Some(admin) = read_address(&address_file)
                && http::get(admin, "/ready", ASK_LIMIT)
                    .await
                    .is_ok_and(|(status, _)| status == 200)
            {
                return Ok(Self { child, admin });
            }
            if start.elapsed() > options.ready_within {
                bail!(
                    "envoy is not ready after {:?}; the end of {}:\n{}",
                    options.ready_within,
                    child.log_path().display(),
                    child.log_tail(LOG_LINES)
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the address of the admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns the child process. It gives the process id, the log and ways to end Envoy.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the last `lines` lines of Envoy's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        self.child.log_tail(lines)
    }

    /// Returns the whole log of Envoy.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.child.log_tail(usize::MAX)
    }

    /// Returns the body of an admin page, for example of `/clusters?format=json`.
    ///
    /// # Errors
    /// Envoy does not answer in time, or answers another status than 200.
    pub async fn page(&self, path: &str) -> Result<String> {
        let (status, body) = http::get(self.admin, path, ASK_LIMIT)
            .await
            .with_context(|| format!("envoy's admin page {path}"))?;
        if status != 200 {
            bail!("envoy's admin page {path} answered {status}: {body}");
        }
        Ok(body)
    }

    /// Returns the address on which a listener listens. It differs from the configuration if the
    /// configured port is 0.
    ///
    /// # Errors
    /// There is no listener of that name, or the admin interface does not answer.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        let page: Value = serde_json::from_str(&self.page("/listeners?format=json").await?)
            .context("the page of listeners is not JSON")?;
        let all = page["listener_statuses"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let listener = all
            .iter()
            .find(|listener| listener["name"] == name)
            .with_context(|| format!("envoy has no listener {name:?}"))?;
        let socket = &listener["local_address"]["socket_address"];
        let text = format!(
            "{}:{}",
            socket["address"].as_str().unwrap_or_default(),
            socket["port_value"]
        );
        text.parse()
            .with_context(|| format!("listener {name:?} is not on an IPv4 address: {socket}"))
    }

    /// Returns one of Envoy's own counters or gauges, by its full name.
    ///
    /// # Errors
    /// Envoy has no metric of that name, or the admin interface does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let found = self.stats(&format!("^{}$", exactly(name))).await?;
        found.get(name).copied().with_context(|| {
            format!("envoy has no counter or gauge `{name}`; its page /stats lists them")
        })
    }

    /// Returns one of the filter's metrics by its full name, for example
    /// `trimtab_decisions_total.pool.chat.reason.load`. Returns 0 if the metric has not counted
    /// anything yet.
    ///
    /// # Errors
    /// The filter cannot have a metric of that name, or the admin interface does not answer.
    pub async fn filter_metric(&self, name: &str) -> Result<u64> {
        names::check(name).map_err(Error::msg)?;
        let name = format!("{FILTER_PREFIX}{name}");
        let found = self.stats(&format!("^{}$", exactly(&name))).await?;
        Ok(found.get(&name).copied().unwrap_or(0))
    }

    /// Returns all counts of one of the filter's metrics, for example `trimtab_decisions_total`, by
    /// their full names.
    ///
    /// # Errors
    /// The filter cannot have a metric of that name, or the admin interface does not answer.
    pub async fn filter_metrics(&self, metric: &str) -> Result<BTreeMap<String, u64>> {
        names::check_metric(metric).map_err(Error::msg)?;
        let begin = exactly(&format!("^{FILTER_PREFIX}{metric}."));
        let found = self.stats(&begin).await?.into_iter();
        let named = found.filter_map(|(name, value)| {
            let name = name.strip_prefix(FILTER_PREFIX)?.to_owned();
            Some((name, value))
        });
        Ok(named.collect())
    }

    /// Returns the counters and gauges whose names match the regular expression `filter`.
    async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        let path = format!("/stats?filter={}", http::escape(filter));
        Ok(parse_stats(&self.page(&path).await?))
    }
}

/// Returns a regular expression that matches the name literally.
fn exactly(name: &str) -> String {
    name.replace('.', "\\.")
}

fn read_address(file: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Parses lines of the form `name: value`. Skips histograms and texts, whose values are not
/// integers.
fn parse_stats(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.rsplit_once(": "))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_gauges_are_read_and_histograms_passed_over() {
        let text = "cluster.a.upstream_rq_2xx: 12\nserver.version: 9999999999999\nhttp.b.rq_time: P0(nan,1.0) P50(nan,2.0)\ncontrol.identifier: \"x\"\n";
        let stats = parse_stats(text);
        assert_eq!(stats.len(), 2);
        assert_eq!(stats.get("cluster.a.upstream_rq_2xx"), Some(&12));
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("not-envoy");
        std::fs::write(&script, "#!/bin/sh\necho refused field: foo\nexit 3\n").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = Options::new(script, dir.path().join("none.yaml"), dir.path().to_owned());
        let error = format!("{:#}", Envoy::start(&options).await.unwrap_err());
        assert!(
            error.contains("refused field: foo") && error.contains("3"),
            "{error}"
        );
    }
}
