//! The calls to the aggregator: the long poll (report out, table in), and beside it reports with news. The shell around [`crate::sync::long_poll`]
//! and [`crate::sync::report_call`].

use trimtab_loadtable::limits;

use crate::host::{self, Buffer, HostError, HttpCall, Level, Map, Over};
use crate::metrics::Counter;
use crate::pool::root::Root;
use crate::pool::table;
use crate::pool::worker::Worker;
use crate::sync::exchange::{self, lead, millis};
use crate::sync::long_poll::{Answer, Due, Sync};
use crate::sync::merge::merged_report;
use crate::sync::report_call;
use crate::sync::shared::{Lease, Stamp, StoredTable};
use crate::sync::unheard::Call;
use crate::sync::wakeup;

/// The header by which an answer says which of the proxy's reports its table has taken in.
const REPORT_HEADER: &str = "x-trimtab-report";

/// Calls the aggregator if there is a reason to and no such call is under way: the poll, which also says what is new, else news.
pub(crate) fn call_if_due(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    let now = millis(now_ns);
    let poll_is_due = match worker
        .sync
        .is_due(now, root.config.wait_ms, &mut worker.rng)
    {
        Due::Now => true,
        Due::No => false,
        Due::Lost => {
            worker.metrics.count(Counter::SyncErrors, "lost");
            false
        }
    };
    if !poll_is_due && !worker.news.is_due(now) {
        return Ok(());
    }
    match exchange::next_report(root)? {
        Some(lease) if poll_is_due => poll(root, worker, now_ns, lease),
        Some(lease) => send_news(root, worker, now_ns, lease),
        None => Ok(()),
    }
}

/// Sends a report and asks for a table.
fn poll(root: &Root, worker: &mut Worker, now_ns: u64, lease: Lease) -> Result<(), HostError> {
    let now = millis(now_ns);
    let timeout_ms = Sync::timeout_ms(root.config.wait_ms);
    match call(root, worker, now_ns, lease, Call::Sync, timeout_ms)? {
        Ok(token) => {
            worker.sync.on_called(now, token);
            worker.news.forget();
        }
        Err(error) => {
            let missing = error.status == HostError::BAD_ARGUMENT;
            worker.metrics.count(
                Counter::SyncErrors,
                if missing {
                    "no_cluster"
                } else {
                    "call_refused"
                },
            );
            worker.sync.on_failed(now, &mut worker.rng);
            root.warn_once(
                Level::Error,
                &format!(
                    "aggregator.cluster: `{}`: the proxy refuses the call ({error}); define that cluster, or, in a mesh, let this proxy see the aggregator's namespace",
                    root.config.cluster
                ),
            );
        }
    }
    Ok(())
}

/// Sends a report that does not wait for an answer.
fn send_news(root: &Root, worker: &mut Worker, now_ns: u64, lease: Lease) -> Result<(), HostError> {
    let now = millis(now_ns);
    match call(
        root,
        worker,
        now_ns,
        lease,
        Call::Report,
        report_call::TIMEOUT_MS,
    )? {
        Ok(token) => worker.news.on_called(now, token),
        Err(_) => {
            worker.metrics.count(Counter::News, "call_refused");
            worker.news.on_failed(now);
        }
    }
    Ok(())
}

/// Makes a call with the report of all workers, under the number of `lease`. Outer error: there is no report; inner: the proxy refuses the
/// call.
fn call(
    root: &Root,
    worker: &mut Worker,
    now_ns: u64,
    lease: Lease,
    call: Call,
    timeout_ms: u32,
) -> Result<Result<u32, HostError>, HostError> {
    let report = merged_report(root, worker, now_ns, lease, call)?;
    let config = &root.config;
    let path = ["/v1/pools/", &root.pool, "/", call.route()].concat();
    let made = host::http_call(&HttpCall {
        cluster: &config.cluster,
        headers: &[
            (":method", "POST"),
            (":path", &path),
            (":authority", &config.authority),
            ("content-type", "application/x-protobuf"),
            ("accept", "application/x-protobuf"),
        ],
        body: &report.encode(),
        timeout_ms,
    });
    if made.is_err() {
        worker.unheard.failed(call);
    }
    Ok(made)
}

/// The end of a call with news.
pub(crate) fn news_answered(
    root: &Root,
    worker: &mut Worker,
    now_ns: u64,
) -> Result<(), HostError> {
    let heard = match answer_status() {
        Ok(status) => status.as_deref() == Some(b"204"),
        Err(error) => {
            worker.metrics.count_error(error);
            false
        }
    };
    let result = if heard { "sent" } else { "failed" };
    worker.metrics.count(Counter::News, result);
    if heard {
        worker.unheard.heard(Call::Report);
    } else {
        worker.unheard.failed(Call::Report);
        worker.news.on_failed(millis(now_ns));
    }
    lead(root, worker, now_ns)
}

/// The end of a call-out.
pub(crate) fn answered(
    root: &Root,
    worker: &mut Worker,
    token: u32,
    body_bytes: usize,
    now_ns: u64,
) -> Result<(), HostError> {
    if !worker.sync.is_mine(token) {
        return Ok(());
    }
    let now = millis(now_ns);
    // Whatever happens below, the call is over: it must not stay under way because of a failing hostcall.
    worker.sync.on_failed(now, &mut worker.rng);
    let status = answer_status()?;
    match Answer::of(status.as_deref()) {
        Answer::Table => {
            worker.unheard.heard(Call::Sync);
            take_answer(root, worker, body_bytes, now_ns)?;
        }
        Answer::NoNews => {
            worker.unheard.heard(Call::Sync);
            worker.metrics.count(Counter::Syncs, "no_news");
            worker.sync.on_answered();
        }
        Answer::Failed(label) => {
            worker.unheard.failed(Call::Sync);
            worker.metrics.count(Counter::SyncErrors, label);
            let status = String::from_utf8_lossy(status.as_deref().unwrap_or(b"none")).into_owned();
            root.warn_once(Level::Warn, &format!("sync failed: {label} (status {status}); the last table stays in use and its age grows"));
        }
    }
    // The next poll follows at once where the minimal gap allows, else with the next tick.
    lead(root, worker, now_ns)
}

/// The status of the answer that has come; absent: the call was reset.
fn answer_status() -> Result<Option<Vec<u8>>, HostError> {
    match host::header(Map::HttpCallResponseHeaders, ":status") {
        // Such a call has no headers at all, and asking for one of them is then a bad argument.
        Err(error) if error.status == HostError::BAD_ARGUMENT => Ok(None),
        status => status,
    }
}

/// The workers' reports that the table of the answer has taken in, by number; empty: not known.
fn included(worker: &mut Worker) -> Vec<(u64, u64)> {
    let header =
        host::header(Map::HttpCallResponseHeaders, REPORT_HEADER).unwrap_or_else(|error| {
            // It costs a little exactness, never the table.
            worker.metrics.count_error(error);
            None
        });
    let text = header.and_then(|value| String::from_utf8(value).ok());
    let sequence = text.and_then(|text| text.parse().ok());
    let merged = sequence.and_then(|sequence| worker.merged.find(sequence));
    merged.cloned().unwrap_or_default()
}

/// A table came: check it, use it, store it for the others.
fn take_answer(
    root: &Root,
    worker: &mut Worker,
    body_bytes: usize,
    now_ns: u64,
) -> Result<(), HostError> {
    // One byte more than any table has, so that a longer answer is seen to be too long.
    let wanted = body_bytes.min(limits::TABLE_BYTES + 1);
    let bytes = host::buffer(Buffer::HttpCallResponseBody, 0, wanted)?.unwrap_or_default();
    match table::accept(&bytes, &root.pool, worker.version()) {
        Ok(table) => {
            let stamp = Stamp {
                epoch: table.version.epoch,
                sequence: table.version.sequence,
                arrived_ns: now_ns,
            };
            let is_first = worker.has_none_of(table.version.epoch) && !table.held.is_empty();
            let included = included(worker);
            let stored = StoredTable::encode(now_ns, &included, &bytes);
            let own = included
                .iter()
                .find(|(number, _)| *number == root.worker_number);
            worker.adopt(table, millis(now_ns), own.map(|(_, report)| *report));
            worker.sync.on_answered();
            worker.metrics.count(Counter::Syncs, "table");
            root.on_good_sync();
            if is_first {
                host::set_shared(&root.keys.first, &bytes, Over::Anything)?;
            }
            host::set_shared(&root.keys.table, &stored, Over::Anything)?;
            host::set_shared(&root.keys.stamp, &stamp.encode(), Over::Anything)?;
            root.seen_stamp.set(Some(stamp));
            wakeup::others(root, worker);
        }
        // While the lease moves two workers may ask at once, and both get the same table. Whoever gets nothing else rests as after a
        // failure, so that an aggregator that sends it again and again is not asked without a pause.
        Err(refusal) if refusal.is_same() => {
            worker.metrics.count(Counter::Syncs, "same_table");
        }
        Err(refusal) => {
            worker
                .metrics
                .count(Counter::TableRefusals, refusal.label());
            root.warn_once(
                Level::Warn,
                &format!("table refused: {refusal}; the last good one stays in use"),
            );
        }
    }
    Ok(())
}
