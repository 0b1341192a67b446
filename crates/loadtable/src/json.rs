//! The JSON view, for people and their scripts and not for proxies. Only [`PredictionsView`] can be
//! read back.
//!
//! Absent signals are left out. The placement key is a secret and is not shown.

use serde::{Deserialize, Serialize};

use crate::{Class, Doubt, Endpoint, EndpointReport, Report, Table};

/// A [`Table`] as JSON shows it.
#[derive(Debug, Clone, Serialize)]
pub struct TableView<'a> {
    /// Name of the pool.
    pub pool: &'a str,
    /// The aggregator's start, in hexadecimal, because JSON numbers lose digits beyond 53 bits.
    pub epoch: String,
    /// Counts up within an epoch.
    pub sequence: u64,
    /// Age of the whole table, in milliseconds.
    pub age_ms: u32,
    /// Number of independent pickers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deciders: Option<u32>,
    /// How well predictions did. The table does not have this, so the aggregator adds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions: Option<PredictionsView>,
    /// What arrives at the pool.
    pub demand: DemandView,
    /// Hardware classes.
    pub classes: Vec<ClassView<'a>>,
    /// Adapters that are resident at some endpoint.
    pub adapters: &'a [String],
    /// One object per endpoint.
    pub endpoints: Vec<EndpointView<'a>>,
}

/// Predicted times to first bytes, and the times that were seen, since the aggregator's start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictionsView {
    /// Streamed answers that were compared, 1 or more.
    pub requests: u64,
    /// Mean of the predicted times, in milliseconds.
    pub predicted_ms: f64,
    /// Mean of the times as proxies saw them, in milliseconds.
    pub seen_ms: f64,
}

/// What arrives at the pool.
#[derive(Debug, Clone, Serialize)]
pub struct DemandView {
    /// Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_s: Option<f32>,
    /// Mean prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<f32>,
    /// Mean uncached prompt tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncached_tokens: Option<f32>,
    /// Mean output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<f32>,
    /// Seconds to load an adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_load_s: Option<f32>,
}

/// One hardware class.
#[derive(Debug, Clone, Serialize)]
pub struct ClassView<'a> {
    /// Its name. May be empty.
    pub name: &'a str,
    /// Prompt tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill_tokens_per_s: Option<f32>,
    /// Milliseconds of decode per further sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_ms_per_sequence: Option<f32>,
    /// Relative capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
}

/// One endpoint, with names instead of indices.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointView<'a> {
    /// `ip:port`.
    pub address: &'a str,
    /// `both`, `prefill` or `decode`.
    pub role: &'static str,
    /// `ready`, `draining` or `suspect`.
    pub state: &'static str,
    /// Why it is not ready: `unreachable`, `unreadable`, `stalled`, `asleep` or `late`. Missing: it
    /// is ready, or discovery says its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<&'static str>,
    /// Why its last scrape brought no page in time, in words. Missing: the page came, or the reason
    /// is unknown. The table does not have this, so the aggregator adds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'a str>,
    /// Zone. Missing if it is empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub zone: &'a str,
    /// Age of the row beyond that of the table, in milliseconds.
    pub age_ms: u32,
    /// Predicted wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u32>,
    /// Requests in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// Requests in the running batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// KV cache in use, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_used_percent: Option<f32>,
    /// Whether the last interval ran full prefill budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill_busy: Option<bool>,
    /// Whether an adapter that is not resident could be loaded at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_room: Option<bool>,
    /// Requests in flight over all proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Uncached prompt tokens without a first byte, over all proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_tokens: Option<u32>,
    /// Size of the KV cache in tokens, when blocks and block size are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_tokens: Option<u64>,
    /// Most sequences in one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_limit: Option<u32>,
    /// Requests that end there per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_per_s: Option<f32>,
    /// Share of the prompt tokens expected in its cache that was found there, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_percent: Option<f32>,
    /// Prefill speed, in per cent of its class's. Missing: as the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill_percent: Option<f32>,
    /// Speed of decoding, in per cent of its class's. Missing: as the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode_percent: Option<f32>,
    /// Names of the resident adapters. Missing: the server does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Vec<&'a str>>,
}

/// A [`Report`] as JSON shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ReportView<'a> {
    /// Name of the pool.
    pub pool: &'a str,
    /// The proxy's start, in hexadecimal.
    pub proxy: String,
    /// Counts up with each report.
    pub sequence: u64,
    /// Sequence of the newest table that the proxy has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub have_sequence: Option<u64>,
    /// How long the answer may be held, in milliseconds.
    pub wait_ms: u32,
    /// Workers of the proxy.
    pub workers: u32,
    /// Requests decided since the proxy's start.
    pub decided: u64,
    /// One object per endpoint with traffic.
    pub endpoints: Vec<EndpointReportView<'a>>,
}

/// One proxy's traffic on one endpoint. Totals count from the proxy's start.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "same names and meanings as in EndpointReport")]
pub struct EndpointReportView<'a> {
    pub address: &'a str,
    pub in_flight: u32,
    pub pending_tokens: u32,
    pub pending: u32,
    pub sent: u64,
    pub sent_tokens: u64,
    pub started: u64,
    pub finished: u64,
    pub failed: u64,
}

impl<'a> From<&'a Table> for TableView<'a> {
    fn from(table: &'a Table) -> Self {
        let demand = &table.demand;
        Self {
            pool: &table.pool,
            epoch: format!("{:016x}", table.version.epoch),
            sequence: table.version.sequence,
            age_ms: table.age_ms,
            deciders: table.deciders,
            predictions: None,
            demand: DemandView {
                requests_per_s: demand.arrival_rate,
                prompt_tokens: demand.prompt_tokens,
                uncached_tokens: demand.uncached_tokens,
                output_tokens: demand.output_tokens,
                adapter_load_s: demand.adapter_load_s,
            },
            classes: table.classes.iter().map(ClassView::from).collect(),
            adapters: &table.adapters,
            endpoints: table
                .endpoints
                .iter()
                .map(|endpoint| endpoint_view(table, endpoint))
                .collect(),
        }
    }
}

impl<'a> From<&'a Class> for ClassView<'a> {
    fn from(class: &'a Class) -> Self {
        Self {
            name: &class.name,
            prefill_tokens_per_s: class.prefill_tokens_per_s,
            decode_ms_per_sequence: class.decode_s_per_sequence.map(|seconds| seconds * 1_000.0),
            speed: class.speed,
        }
    }
}

fn endpoint_view<'a>(table: &'a Table, endpoint: &'a Endpoint) -> EndpointView<'a> {
    let class = endpoint
        .class
        .and_then(|index| table.classes.get(usize::from(index)));
    let adapter = |index: &u16| table.adapters.get(usize::from(*index)).map(String::as_str);
    let blocks = endpoint.kv_blocks.zip(endpoint.kv_block_tokens);
    EndpointView {
        address: &endpoint.address,
        role: endpoint.role.as_str(),
        state: endpoint.state.as_str(),
        doubt: endpoint.doubt.map(Doubt::as_str),
        reason: None,
        class: class.map(|class| class.name.as_str()),
        zone: &endpoint.zone,
        age_ms: endpoint.age_ms,
        wait_ms: endpoint.wait_ms,
        waiting: endpoint.waiting,
        running: endpoint.running,
        // One digit after the point, because the wire keeps steps of 0.4 %.
        kv_used_percent: endpoint
            .kv_used
            .map(|ratio| (ratio * 1_000.0).round() / 10.0),
        prefill_busy: endpoint.prefill_busy,
        adapter_room: endpoint.adapter_room,
        in_flight: endpoint.in_flight,
        pending_tokens: endpoint.pending_tokens,
        kv_tokens: blocks.map(|(blocks, tokens)| u64::from(blocks) * u64::from(tokens)),
        batch_limit: endpoint.batch_limit,
        ends_per_s: endpoint.ends_per_1000_s.map(|ends| ends as f32 / 1_000.0),
        found_percent: endpoint.found_permille.map(percent),
        prefill_percent: endpoint.prefill_permille.map(percent),
        decode_percent: endpoint.decode_permille.map(percent),
        adapters: endpoint
            .adapters
            .as_ref()
            .map(|list| list.iter().filter_map(adapter).collect()),
    }
}

fn percent(permille: u32) -> f32 {
    permille as f32 / 10.0
}

impl<'a> From<&'a Report> for ReportView<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            pool: &report.pool,
            proxy: format!("{:016x}", report.proxy),
            sequence: report.sequence,
            have_sequence: report.have.map(|have| have.sequence),
            wait_ms: report.wait_ms,
            workers: report.workers,
            decided: report.decided,
            endpoints: report
                .endpoints
                .iter()
                .map(EndpointReportView::from)
                .collect(),
        }
    }
}

impl<'a> From<&'a EndpointReport> for EndpointReportView<'a> {
    fn from(row: &'a EndpointReport) -> Self {
        Self {
            address: &row.address,
            in_flight: row.in_flight,
            pending_tokens: row.pending_tokens,
            sent: row.sent,
            sent_tokens: row.sent_tokens,
            pending: row.pending,
            started: row.started,
            finished: row.finished,
            failed: row.failed,
        }
    }
}
