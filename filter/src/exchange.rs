//! The exchange with the other workers (shared data) and with the aggregator (call-outs). Runs on ticks and answers, never on a request.

use trimtab_loadtable::{Report, limits};
use trimtab_pick::Millis;

use crate::host::{self, Buffer, HostError, HttpCall, Level, Map};
use crate::lease::{self, Step, When};
use crate::metrics::{Counter, Gauge};
use crate::root::Root;
use crate::shared::{self, Lease, Stamp};
use crate::sync::{Answer, Due, Sync};
use crate::table;
use crate::tally;
use crate::worker::Worker;

/// A worker's report is written at least this often, in milliseconds.
const HEARTBEAT_MS: u64 = 1_000;
/// A worker that has not written for so long is gone.
const WORKER_EXPIRES_NS: u64 = 10_000_000_000;
/// Most workers of one proxy. Envoy has one per core.
const MAX_WORKERS: usize = 512;

/// What one tick does. An error ends this tick; the next one begins anew.
pub(crate) fn tick(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    take_shared_table(root, worker)?;
    publish_report(root, worker, now_ns)?;
    let Some(lease) = hold_lease(root, now_ns, When::Tick)? else {
        return worker.metrics.flush();
    };
    set_gauges(worker, now_ns)?;
    call_if_due(root, worker, now_ns, lease)?;
    worker.metrics.flush()
}

/// Takes the table that another worker has stored, if it is another one than ours.
fn take_shared_table(root: &Root, worker: &mut Worker) -> Result<(), HostError> {
    let Some(stamp) =
        host::shared(&root.keys.stamp)?.and_then(|shared| Stamp::decode(&shared.value))
    else {
        return Ok(());
    };
    let have = worker.version();
    if root.seen_stamp.replace(Some(stamp)) == Some(stamp)
        || have.is_some_and(|have| (have.epoch, have.sequence) == (stamp.epoch, stamp.sequence))
    {
        return Ok(());
    }
    let Some(stored) = host::shared(&root.keys.table)? else {
        return Ok(());
    };
    let Some((arrived_ns, bytes)) = shared::split_timed(&stored.value) else {
        return Ok(());
    };
    // Checked again although its writer has checked it: it may have been another version of this filter.
    match table::accept(bytes, &root.config.pool, have) {
        Ok(table) => worker.adopt(table, millis(arrived_ns)),
        // The table was replaced between the two reads.
        Err(table::Refusal::NotNewer { .. }) => {}
        Err(refusal) => worker
            .metrics
            .count(Counter::TableRefusals, refusal.label()),
    }
    Ok(())
}

/// Writes this worker's totals where the leader finds them.
fn publish_report(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    let since_ms = now_ns.abs_diff(root.published_ns.get()) / 1_000_000;
    let heartbeat = since_ms >= HEARTBEAT_MS;
    let endpoints = match worker.tally.take_changes() {
        Some(endpoints) => endpoints,
        None if heartbeat => worker.tally.report(),
        None => return Ok(()),
    };
    if heartbeat {
        register(root)?;
    }
    let report = Report {
        pool: root.config.pool.clone(),
        proxy: root.worker_number,
        sequence: 1,
        workers: u32::from(worker.tally.decided > 0),
        decided: worker.tally.decided,
        endpoints,
        ..Report::default()
    };
    host::set_shared(
        &root.keys.report(root.worker_number),
        &shared::timed(now_ns, &report.encode()),
        None,
    )?;
    root.published_ns.set(now_ns);
    Ok(())
}

/// Sees to it that the leader knows this worker.
fn register(root: &Root) -> Result<(), HostError> {
    for _ in 0..8 {
        let stored = host::shared(&root.keys.workers)?;
        let mut workers = stored
            .as_ref()
            .map(|stored| shared::decode_workers(&stored.value))
            .unwrap_or_default();
        if workers.contains(&root.worker_number) || workers.len() >= MAX_WORKERS {
            return Ok(());
        }
        workers.push(root.worker_number);
        if host::set_shared(
            &root.keys.workers,
            &shared::encode_workers(&workers),
            stored.map(|stored| stored.cas),
        )? {
            return Ok(());
        }
    }
    Ok(())
}

/// Takes or keeps the right to sync. `None`: another worker has it.
pub(crate) fn hold_lease(root: &Root, now_ns: u64, when: When) -> Result<Option<Lease>, HostError> {
    let stored = host::shared(&root.keys.lease)?;
    let current = stored
        .as_ref()
        .and_then(|stored| Lease::decode(&stored.value));
    let write = match lease::step(current, root.worker_number, now_ns, when, root.proxy_number) {
        Step::Hold => return Ok(current),
        Step::Leave => return Ok(None),
        Step::Write(lease) => lease,
    };
    let first = stored.is_none();
    if !host::set_shared(
        &root.keys.lease,
        &write.encode(),
        stored.map(|stored| stored.cas),
    )? {
        return Ok(None);
    }
    if first {
        // A value that nobody has written yet can not be swapped, only written: the last of several writers has it.
        let read = host::shared(&root.keys.lease)?.and_then(|stored| Lease::decode(&stored.value));
        return Ok(read.filter(|lease| lease.holder == root.worker_number));
    }
    Ok(Some(write))
}

fn set_gauges(worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    let Some(loaded) = worker.loaded() else {
        return Ok(());
    };
    let age_ms = loaded.age_ms(millis(now_ns));
    let endpoints = loaded.table.endpoints.len() as u64;
    worker.metrics.set(Gauge::TableAgeMs, age_ms)?;
    worker.metrics.set(Gauge::TableEndpoints, endpoints)
}

/// Calls the aggregator unless a call is under way.
fn call_if_due(
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
    host::set_shared(&root.keys.lease, &lease.encode(), None)?;
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

/// The reports of all live workers in one. Workers that are gone are forgotten.
fn merged_report(
    root: &Root,
    worker: &mut Worker,
    now_ns: u64,
    lease: Lease,
) -> Result<Report, HostError> {
    let stored = host::shared(&root.keys.workers)?;
    let known = stored
        .as_ref()
        .map(|stored| shared::decode_workers(&stored.value))
        .unwrap_or_default();
    let mut live = Vec::with_capacity(known.len());
    let mut reports = Vec::with_capacity(known.len());
    for number in known.iter().copied().take(MAX_WORKERS) {
        let key = root.keys.report(number);
        let Some(stored) = host::shared(&key)? else {
            continue;
        };
        let timed = shared::split_timed(&stored.value)
            .filter(|(at_ns, _)| at_ns.abs_diff(now_ns) < WORKER_EXPIRES_NS);
        match timed.and_then(|(_, bytes)| Report::decode(bytes).ok()) {
            Some(report) => {
                live.push(number);
                reports.push(report);
            }
            // An empty value frees the memory; shared data has no removal.
            None => _ = host::set_shared(&key, b"", None)?,
        }
    }
    if live.len() < known.len() {
        // Lost to a worker that registers at this moment, this is done again with the next call.
        host::set_shared(
            &root.keys.workers,
            &shared::encode_workers(&live),
            stored.map(|stored| stored.cas),
        )?;
    }
    let in_flight = reports
        .iter()
        .flat_map(|report| &report.endpoints)
        .map(|line| u64::from(line.in_flight))
        .sum();
    worker.metrics.set(Gauge::InFlight, in_flight)?;
    Ok(Report {
        pool: root.config.pool.clone(),
        proxy: lease.proxy,
        sequence: lease.sequence,
        have: worker.version(),
        wait_ms: root.config.wait_ms,
        workers: reports
            .iter()
            .map(|report| report.workers)
            .sum::<u32>()
            .max(1),
        decided: reports
            .iter()
            .map(|report| report.decided)
            .fold(0, u64::saturating_add),
        endpoints: tally::merge(reports.into_iter().flat_map(|report| report.endpoints)),
    })
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
    let status = host::header(Map::CallResponse, ":status")?;
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
    let bytes = host::buffer(Buffer::CallResponseBody, 0, wanted)?.unwrap_or_default();
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
            host::set_shared(&root.keys.table, &shared::timed(now_ns, &bytes), None)?;
            host::set_shared(&root.keys.stamp, &stamp.encode(), None)?;
            root.seen_stamp.set(Some(stamp));
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

pub(crate) fn millis(ns: u64) -> Millis {
    Millis(ns / 1_000_000)
}
