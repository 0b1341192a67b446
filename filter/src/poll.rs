//! The long poll to the aggregator: report out, table in. The shell around [`crate::sync`].

use trimtab_loadtable::limits;

use crate::exchange::{hold_lease, merged_report, millis};
use crate::host::{self, Buffer, HostError, HttpCall, Level, Map, Over};
use crate::lease::When;
use crate::metrics::Counter;
use crate::root::Root;
use crate::shared::{self, Lease, Stamp};
use crate::sync::{Answer, Due, Sync};
use crate::table;
use crate::wake;
use crate::worker::Worker;

/// Calls the aggregator unless a call is under way.
pub(crate) fn call_if_due(
    root: &Root,
    worker: &mut Worker,
    now_ns: u64,
    lease: Lease,
) -> Result<(), HostError> {
    let now = millis(now_ns);
    match worker
        .sync
        .is_due(now, root.config.wait_ms, &mut worker.rng)
    {
        Due::No => return Ok(()),
        Due::Lost => {
            worker.metrics.count(Counter::SyncErrors, "lost");
            return Ok(());
        }
        Due::Now => {}
    }
    let lease = Lease {
        sequence: lease.sequence.saturating_add(1),
        claims: 0,
        ..lease
    };
    host::set_shared(&root.keys.lease, &lease.encode(), Over::Anything)?;
    let report = merged_report(root, worker, now_ns, lease)?;
    let config = &root.config;
    let path = format!("/v1/pools/{}/sync", config.pool);
    let call = HttpCall {
        cluster: &config.cluster,
        headers: &[
            (":method", "POST"),
            (":path", &path),
            (":authority", &config.authority),
            ("content-type", "application/x-protobuf"),
            ("accept", "application/x-protobuf"),
        ],
        body: &report.encode(),
        timeout_ms: Sync::timeout_ms(config.wait_ms),
    };
    match host::http_call(&call) {
        Ok(token) => worker.sync.on_called(now, token),
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
                    config.cluster
                ),
            );
        }
    }
    Ok(())
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
    let status = match host::header(Map::HttpCallResponseHeaders, ":status") {
        // A call that was reset has no headers at all, and asking for one of them is then a bad argument.
        Err(error) if error.status == HostError::BAD_ARGUMENT => None,
        status => status?,
    };
    match Answer::of(status.as_deref()) {
        Answer::Table => take_answer(root, worker, body_bytes, now_ns)?,
        Answer::NoNews => {
            worker.metrics.count(Counter::Syncs, "no_news");
            worker.sync.on_answered();
        }
        Answer::Failed(label) => {
            worker.metrics.count(Counter::SyncErrors, label);
            let status = String::from_utf8_lossy(status.as_deref().unwrap_or(b"none")).into_owned();
            root.warn_once(Level::Warn, &format!("sync failed: {label} (status {status}); the last table stays in use and its age grows"));
        }
    }
    // The next poll follows at once where the minimal gap allows, else with the next tick.
    match hold_lease(root, now_ns, When::Tick)? {
        Some(lease) => call_if_due(root, worker, now_ns, lease),
        None => Ok(()),
    }
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
    match table::accept(&bytes, &root.config.pool, worker.version()) {
        Ok(table) => {
            let stamp = Stamp {
                epoch: table.version.epoch,
                sequence: table.version.sequence,
                arrived_ns: now_ns,
            };
            worker.adopt(table, millis(now_ns));
            worker.sync.on_answered();
            worker.metrics.count(Counter::Syncs, "table");
            root.on_good_sync();
            let timed = shared::timed(now_ns, &bytes);
            host::set_shared(&root.keys.table, &timed, Over::Anything)?;
            host::set_shared(&root.keys.stamp, &stamp.encode(), Over::Anything)?;
            root.seen_stamp.set(Some(stamp));
            wake::others(root, worker);
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
