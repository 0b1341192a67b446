//! A stage: one Envoy between a client and model servers.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use trimtab::process::{Envoy, envoy::Options, find_envoy};

use super::aggregator::{Answer, ScriptedAggregator, row, table};
use super::backend::Backend;
use super::client::DECISION;
use super::config::{self, Form, Values};
use super::overlay;
use super::release::Release;
use super::wait::eventually;

/// The differences between a stage and the deployed configuration.
#[derive(Debug, Clone)]
pub(crate) struct StageOptions {
    /// Further settings of the plugin, as JSON members.
    pub(crate) plugin: Option<String>,
    /// Settings instead of `"pool": "default"`, as JSON members.
    pub(crate) pools: Option<String>,
    /// Another module instead of the filter.
    pub(crate) module: Option<PathBuf>,
    /// Number of Envoy's workers.
    pub(crate) workers: u32,
    /// The form of the filter.
    pub(crate) form: Form,
    /// Parts of the configuration that differ; see [`overlay`].
    pub(crate) overlay: Value,
    /// The release of Envoy; absent for the usual one.
    pub(crate) release: Option<Release>,
    /// Whether Envoy reads the listener from a file that it watches, so that [`Stage::set_plugin`]
    /// can change it.
    pub(crate) listener_from_file: bool,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self {
            plugin: None,
            pools: None,
            module: None,
            workers: 2,
            form: Form::Single,
            overlay: json!({}),
            release: None,
            listener_from_file: false,
        }
    }
}

/// A running Envoy and the files that it reads.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) envoy: Envoy,
    /// Address for clients.
    pub(crate) address: SocketAddr,
    dir: TempDir,
}

/// Returns the path of the module under test, which `cargo xtask test` has just built.
pub(crate) fn filter() -> PathBuf {
    let path = env::var_os("TRIMTAB_FILTER").map(PathBuf::from);
    path.expect("TRIMTAB_FILTER is not set: run `cargo xtask test --only envoy`, which builds filter.wasm and fetches Envoy")
}

/// File of [`StageOptions::listener_from_file`].
const LISTENERS: &str = "listeners.json";

/// Number of placed requests in a row that shows that every worker has a table.
const RUN: usize = 24;

impl Stage {
    /// Starts Envoy with the deployed configuration.
    pub(crate) async fn start(
        backends: &[SocketAddr],
        aggregator: SocketAddr,
        options: StageOptions,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoints = dir.path().join("endpoints.yaml");
        std::fs::write(&endpoints, config::endpoints_file(backends)).unwrap();
        let values = Values {
            filter: options.module.unwrap_or_else(filter).display().to_string(),
            endpoints: endpoints.display().to_string(),
            aggregator,
            plugin: options.plugin,
            pools: options.pools,
            form: options.form,
        };
        let path = dir.path().join("envoy.yaml");
        let mut text = config::with_values(&values);
        if options.overlay != json!({}) {
            text = overlay::apply(&text, &options.overlay);
        }
        if options.listener_from_file {
            let (rest, listeners) = overlay::without_listeners(&text, &dir.path().join(LISTENERS));
            text = rest;
            std::fs::write(dir.path().join(LISTENERS), listeners).unwrap();
        }
        std::fs::write(&path, text).unwrap();
        let binary = match options.release {
            Some(release) => release.binary(),
            None => find_envoy()
                .unwrap_or_else(|error| panic!("{error:#}; run `cargo xtask test --only envoy`")),
        };
        let mut start = Options::new(binary, path, dir.path().to_owned());
        start.concurrency = options.workers;
        let envoy = Envoy::start(&start)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        let address = envoy.listener("completions").await.unwrap();
        Self {
            envoy,
            address,
            dir,
        }
    }

    /// Returns a stage whose workers all have a table with these waits of the backends, in ms.
    pub(crate) async fn with_waits(waits: &[(&Backend, u32)]) -> (Self, ScriptedAggregator) {
        Self::placing_by(StageOptions::default(), waits).await
    }

    /// Does the same as [`Self::with_waits`], with another form of the filter.
    pub(crate) async fn in_form(
        form: Form,
        waits: &[(&Backend, u32)],
    ) -> (Self, ScriptedAggregator) {
        let options = StageOptions {
            form,
            ..StageOptions::default()
        };
        Self::placing_by(options, waits).await
    }

    /// Does the same as [`Self::with_waits`], with `workers` workers.
    pub(crate) async fn with_waits_and_workers(
        waits: &[(&Backend, u32)],
        workers: u32,
    ) -> (Self, ScriptedAggregator) {
        let options = StageOptions {
            workers,
            ..StageOptions::default()
        };
        Self::placing_by(options, waits).await
    }

    /// Does the same as [`Self::in_form`], on this release of Envoy.
    pub(crate) async fn on(
        release: Release,
        form: Form,
        waits: &[(&Backend, u32)],
    ) -> (Self, ScriptedAggregator) {
        let options = StageOptions {
            form,
            release: Some(release),
            ..StageOptions::default()
        };
        Self::placing_by(options, waits).await
    }

    /// Does the same as [`Self::with_waits`], with these options.
    pub(crate) async fn placing_by(
        options: StageOptions,
        waits: &[(&Backend, u32)],
    ) -> (Self, ScriptedAggregator) {
        let rows = waits
            .iter()
            .map(|(backend, wait_ms)| row(&backend.name(), *wait_ms))
            .collect();
        let aggregator = ScriptedAggregator::start(Answer::Table(table(1, rows))).await;
        let addresses: Vec<_> = waits.iter().map(|(backend, _)| backend.address).collect();
        // A real aggregator publishes many times per second. This one publishes only when a test
        // says so.
        let more = options.plugin.map(|more| format!(", {more}"));
        let plugin = format!("\"table_max_age\": \"60s\"{}", more.unwrap_or_default());
        let options = StageOptions {
            plugin: Some(plugin),
            ..options
        };
        let stage = Self::start(&addresses, aggregator.address, options).await;
        stage.placing().await;
        (stage, aggregator)
    }

    /// Returns a stage with one plugin and two pools. Does not wait until it places requests.
    ///
    /// - `waits`: the backends of the pool `default`, with their waits in ms.
    /// - `last`: the backend of the pool `code`.
    /// - `pools`: the plugin's setting.
    pub(crate) async fn with_two_pools(
        waits: &[(&Backend, u32)],
        last: &Backend,
        pools: &str,
    ) -> (Self, ScriptedAggregator) {
        let rows = waits
            .iter()
            .map(|(backend, wait_ms)| row(&backend.name(), *wait_ms));
        let default = table(1, rows.collect());
        let aggregator = ScriptedAggregator::start(Answer::Table(default)).await;
        let mut code = table(1, vec![row(&last.name(), 0)]);
        code.pool = "code".to_owned();
        aggregator.add(code);
        let backends = waits.iter().map(|(backend, _)| *backend).chain([last]);
        let addresses: Vec<_> = backends.map(|backend| backend.address).collect();
        let options = StageOptions {
            pools: Some(format!(r#""pools": {pools}, "table_max_age": "60s""#)),
            ..StageOptions::default()
        };
        (
            Self::start(&addresses, aggregator.address, options).await,
            aggregator,
        )
    }

    /// Returns whether more requests go to `a` than to `b`. Sends forty, because a worker may still
    /// have the old table.
    pub(crate) async fn prefers(&self, a: &Backend, b: &Backend) -> bool {
        let before = (a.count(), b.count());
        for n in 0..40 {
            super::chat(self.address, &format!("question {n}"))
                .await
                .unwrap()
                .ok();
        }
        let (to_a, to_b) = (a.count() - before.0, b.count() - before.1);
        assert_eq!(
            to_a + to_b,
            40,
            "every request is answered by one of them, at the first try"
        );
        to_a > 2 * to_b
    }

    /// Returns whether a run of requests goes only to `a`. The run is long enough to reach every
    /// worker.
    pub(crate) async fn all_on(&self, a: &Backend, b: &Backend) -> bool {
        let before = (a.count(), b.count());
        for n in 0..RUN {
            super::chat(self.address, &format!("question {n}"))
                .await
                .unwrap()
                .ok();
            if b.count() > before.1 {
                return false;
            }
        }
        a.count() == before.0 + RUN
    }

    /// Waits until every worker places requests by a table.
    pub(crate) async fn placing(&self) {
        eventually("every worker has a table", async || {
            let mut placed = 0;
            // The kernel spreads connections over the workers at random. A run of this length
            // misses one of two workers once in ten million times.
            for _ in 0..RUN {
                let response = super::chat(self.address, "warm up").await.ok()?;
                placed += usize::from(response.header(DECISION).contains("endpoint="));
            }
            (placed == RUN).then_some(())
        })
        .await;
    }

    /// Changes the text of the listener's file. In it the quotes in the plugin's settings are
    /// escaped.
    pub(crate) fn set_plugin(&self, change: impl FnOnce(&str) -> String) {
        let path = self.dir.path().join(LISTENERS);
        let before = std::fs::read_to_string(&path).unwrap();
        let after = change(&before);
        assert_ne!(after, before, "nothing to change in {before}");
        let partial = path.with_extension("partial");
        std::fs::write(&partial, after).unwrap();
        std::fs::rename(&partial, &path).unwrap();
    }

    /// Replaces the list of endpoints that Envoy watches.
    pub(crate) fn set_endpoints(&self, addresses: &[SocketAddr]) {
        let partial = self.dir.path().join("endpoints.partial");
        std::fs::write(&partial, config::endpoints_file(addresses)).unwrap();
        std::fs::rename(&partial, self.dir.path().join("endpoints.yaml")).unwrap();
    }

    /// Returns the number of decisions of a reason since Envoy's start, over all workers. The
    /// filter publishes its counts on its tick.
    pub(crate) async fn decisions(&self, reason: &str) -> u64 {
        self.metric(&format!(
            "trimtab_decisions_total.pool.default.reason.{reason}"
        ))
        .await
    }

    /// Returns one of the filter's metrics by its full name. Fails if the filter cannot have a
    /// metric of that name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let read = self.envoy.filter_metric(name).await;
        read.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Returns all values of one of the filter's metrics, with their tags. Fails if the filter has
    /// no such metric.
    pub(crate) async fn metrics(&self, metric: &str) -> BTreeMap<String, u64> {
        let read = self.envoy.filter_metrics(metric).await;
        read.unwrap_or_else(|error| panic!("{error:#}"))
    }
}
