//! Metrics pages of model servers on real sockets, and a running aggregator.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test program uses its own part"
)]

mod authority;
mod fake;
mod http;

pub(crate) use authority::{Authority, Identity, TlsClient, send};
pub(crate) use fake::{Fake, LATE, Scenario};
pub(crate) use http::{exchange, request};

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trimtab_aggregator::{App, Config};
use trimtab_loadtable::{Endpoint, Report, Table, Version};

/// The aggregator's gauge of syncs that wait for a newer table.
pub(crate) const WAITING: &str = "waiting_syncs{pool=\"chat\"}";

/// A report of pool `chat`, with nothing in flight.
pub(crate) fn report(sequence: u64) -> Report {
    Report {
        pool: "chat".into(),
        proxy: 1,
        sequence,
        workers: 2,
        wait_ms: 10_000,
        ..Report::default()
    }
}

/// A version of the same epoch that no table exceeds.
pub(crate) fn beyond(version: Version) -> Version {
    Version {
        sequence: u64::MAX,
        ..version
    }
}

/// Polls until `look` returns true. Fails with `what` after 20 s, which only bounds a broken run.
pub(crate) async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An aggregator under test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Starts an aggregator. `pools`: the YAML list of pools.
    pub(crate) async fn start(pools: &str) -> Self {
        Self::start_with(&format!("pools:\n{pools}")).await
    }

    /// Starts an aggregator. `settings`: YAML of all but the listeners.
    pub(crate) async fn start_with(settings: &str) -> Self {
        let text = format!("listen: 127.0.0.1:0\n{settings}");
        let config =
            Config::from_yaml(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let app = App::build(config).await.unwrap();
        let address = app.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(app.run(async move { drop(stopped.await) }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    /// Starts an aggregator with one pool `chat` of these servers, scraped and published every 20
    /// ms.
    pub(crate) async fn with(fakes: &[&Fake]) -> Self {
        let endpoints: String = fakes
            .iter()
            .map(|fake| format!("    - address: {}\n", fake.address))
            .collect();
        Self::start(&format!(
            "- name: chat\n  discovery:\n    endpoints:\n{endpoints}  scrape: {{interval: 20ms, timeout: 150ms, max_page_bytes: 65536}}\n  publish_interval: 20ms\n"
        ))
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = request(self.address, "GET", path, "", &[]).await;
        (status, String::from_utf8(body).unwrap())
    }

    pub(crate) async fn sync(&self, report: &Report) -> (u16, Vec<u8>) {
        request(
            self.address,
            "POST",
            &format!("/v1/pools/{}/sync", report.pool),
            "",
            &report.encode(),
        )
        .await
    }

    /// Starts a sync for a table that never comes. The sync is waiting when this returns. The task
    /// returns status and body.
    pub(crate) async fn waiting_sync(&self) -> JoinHandle<(u16, Vec<u8>)> {
        let have = beyond(self.table("chat").await.unwrap().version);
        let body = Report {
            have: Some(have),
            wait_ms: 60_000,
            ..report(1)
        }
        .encode();
        let address = self.address;
        let waiting = tokio::spawn(async move {
            request(address, "POST", "/v1/pools/chat/sync", "", &body).await
        });
        eventually("the sync waits", async || self.metric(WAITING).await >= 1.0).await;
        waiting
    }

    pub(crate) async fn table(&self, pool: &str) -> Option<Table> {
        let (status, body) = request(
            self.address,
            "GET",
            &format!("/v1/pools/{pool}/table"),
            "",
            &[],
        )
        .await;
        (status == 200).then(|| Table::decode(&body).unwrap())
    }

    /// Returns the row of an endpoint once `wanted` holds.
    pub(crate) async fn row(
        &self,
        address: SocketAddr,
        wanted: impl Fn(&Endpoint) -> bool,
    ) -> Endpoint {
        let mut last = None;
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let table = self.table("chat").await;
            last = table.and_then(|table| {
                table
                    .endpoints
                    .into_iter()
                    .find(|row| row.address == address.to_string())
            });
            match &last {
                Some(row) if wanted(row) => return row.clone(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{address} is not as wanted after 20 s: {last:?}");
    }

    /// Returns the value of one line of the aggregator's own metrics.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let (_, page) = self.get("/metrics").await;
        let found = page
            .lines()
            .find_map(|l| l.strip_prefix(&format!("trimtab_aggregator_{line} ")));
        found
            .unwrap_or_else(|| panic!("no {line} in\n{page}"))
            .parse()
            .unwrap()
    }
}
