//! A scripted aggregator: publishes what a test sets, and records the reports.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use tokio::sync::watch;
use trimtab_loadtable::{Class, Demand, Endpoint, Report, Table, Version};

use super::server::Server;

/// The answer to the next sync.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a test has a few, and a box at each of them would say nothing"
)]
pub(crate) enum Answer {
    /// A table. As in the real aggregator, a proxy that already has it must wait.
    Table(Table),
    /// These bytes with status 200: without waiting for a new table, but not faster than a real
    /// aggregator would.
    Bytes(Vec<u8>),
    /// Only a status.
    Status(u16),
}

#[derive(Debug)]
struct Shared {
    answer: watch::Sender<Answer>,
    reports: Mutex<Vec<Report>>,
    /// Urgent reports, which came outside the polls.
    urgent: Mutex<Vec<Report>>,
    refused: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// Tables of further pools. They never change.
    others: Mutex<Vec<Table>>,
}

/// The server. Dropping it closes its port and every connection, like a crash.
#[derive(Debug)]
pub(crate) struct ScriptedAggregator {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server,
}

impl ScriptedAggregator {
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    /// Starts at an address that another aggregator has left.
    pub(crate) async fn start_at(address: SocketAddr, answer: Answer) -> Self {
        let shared = Arc::new(Shared {
            answer: watch::channel(answer).0,
            reports: Mutex::default(),
            urgent: Mutex::default(),
            refused: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            others: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/pools/default/sync", post(sync))
            .route("/v1/pools/default/report", post(take_urgent))
            .route("/v1/pools/{pool}/sync", post(sync_other))
            .with_state(Arc::clone(&shared));
        let server = Server::start_at(address, router).await;
        Self {
            address: server.address,
            shared,
            _server: server,
        }
    }

    /// Answers every waiting and every later sync with this.
    pub(crate) fn publish(&self, answer: Answer) {
        self.shared.answer.send_replace(answer);
    }

    /// Adds a table of a further pool.
    pub(crate) fn add(&self, table: Table) {
        self.shared.others.lock().unwrap().push(table);
    }

    /// Publishes the current table again under a new number. The waiting sync is answered, and the
    /// next one brings a fresh report.
    pub(crate) fn nudge(&self) {
        self.shared.answer.send_modify(|answer| {
            if let Answer::Table(table) = answer {
                table.version.sequence += 1;
            }
        });
    }

    /// Returns every valid report that came with a poll, in the order of arrival.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.shared.reports.lock().unwrap().clone()
    }

    /// Returns every urgent report, which came outside the polls.
    pub(crate) fn urgent(&self) -> Vec<Report> {
        self.shared.urgent.lock().unwrap().clone()
    }

    /// Returns the newest report that came with a poll.
    pub(crate) fn last_report(&self) -> Option<Report> {
        self.shared.reports.lock().unwrap().last().cloned()
    }

    /// Returns the number of sync bodies that are no report.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Returns the largest number of syncs that waited at the same time.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Returns the number of distinct proxies that have reported.
    pub(crate) fn proxies(&self) -> usize {
        self.reports()
            .iter()
            .map(|report| report.proxy)
            .collect::<BTreeSet<_>>()
            .len()
    }
}

struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn sync(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
    let _open = Open(Arc::clone(&shared));
    shared.most_open.fetch_max(open, Ordering::SeqCst);
    let Ok(report) = Report::decode(&body) else {
        shared.refused.fetch_add(1, Ordering::SeqCst);
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (have, wait) = (report.have, Duration::from_millis(report.wait_ms.into()));
    shared.reports.lock().unwrap().push(report);
    let mut answer = shared.answer.subscribe();
    let is_newer = |answer: &Answer| !matches!(answer, Answer::Table(table) if have.is_some_and(|have| have >= table.version && have.epoch == table.version.epoch));
    let newer = tokio::time::timeout(wait, answer.wait_for(is_newer)).await;
    let Ok(Ok(newer)) = newer.map(|newer| newer.map(|answer| answer.clone())) else {
        return StatusCode::NO_CONTENT.into_response();
    };
    match newer {
        Answer::Table(table) => {
            ([("content-type", "application/x-protobuf")], table.encode()).into_response()
        }
        Answer::Bytes(bytes) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            bytes.into_response()
        }
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
    }
}

/// Answers a sync of a further pool: its table once, then nothing new.
async fn sync_other(
    State(shared): State<Arc<Shared>>,
    Path(pool): Path<String>,
    body: Bytes,
) -> Response {
    let Ok(report) = Report::decode(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let table = {
        let others = shared.others.lock().unwrap();
        others.iter().find(|table| table.pool == pool).cloned()
    };
    match table {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(table) if report.have == Some(table.version) => {
            tokio::time::sleep(Duration::from_millis(report.wait_ms.into())).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Some(table) => table.encode().into_response(),
    }
}

async fn take_urgent(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let Ok(report) = Report::decode(&body) else {
        shared.refused.fetch_add(1, Ordering::SeqCst);
        return StatusCode::BAD_REQUEST;
    };
    shared.urgent.lock().unwrap().push(report);
    StatusCode::NO_CONTENT
}

/// Returns a table of ready endpoints. They differ only in their rows.
pub(crate) fn table(sequence: u64, mut endpoints: Vec<Endpoint>) -> Table {
    endpoints.sort_by(|a, b| a.address.cmp(&b.address));
    Table {
        pool: "default".to_owned(),
        version: Version {
            epoch: 11,
            sequence,
        },
        age_ms: 0,
        deciders: Some(2),
        demand: Demand::default(),
        placement_key: [7; 16],
        classes: vec![Class {
            name: "test".to_owned(),
            prefill_tokens_per_s: Some(10_000.0),
            decode_s_per_sequence: Some(0.000_1),
            speed: Some(1.0),
        }],
        adapters: Vec::new(),
        endpoints,
        heat: None,
        moved: None,
        probes: vec![],
        held: vec![],
    }
}

/// Returns a ready endpoint with this predicted wait.
pub(crate) fn row(address: &str, wait_ms: u32) -> Endpoint {
    Endpoint {
        address: address.to_owned(),
        class: Some(0),
        wait_ms: Some(wait_ms),
        waiting: Some(0),
        running: Some(0),
        ..Endpoint::default()
    }
}
