//! The exchange with the other workers, through shared data. Runs on ticks and answers, never on a request.

use trimtab_loadtable::Report;
use trimtab_pick::Millis;

use crate::host::{self, HostError, Over};
use crate::lease::{self, Step, When};
use crate::metrics::{Counter, Gauge};
use crate::poll;
use crate::root::Root;
use crate::shared::{self, Lease, Stamp};
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
        return Ok(());
    };
    set_gauges(worker, now_ns);
    poll::call_if_due(root, worker, now_ns, lease)
}

/// Takes the table that another worker has stored, if it is another one than ours.
pub(crate) fn take_shared_table(root: &Root, worker: &mut Worker) -> Result<(), HostError> {
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
        Over::Anything,
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
            Over::Read(stored.map(|stored| stored.cas)),
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
    let written = host::set_shared(
        &root.keys.lease,
        &write.encode(),
        Over::Read(stored.map(|stored| stored.cas)),
    )?;
    Ok(written.then_some(write))
}

fn set_gauges(worker: &mut Worker, now_ns: u64) {
    let Some(loaded) = worker.loaded() else {
        return;
    };
    let age_ms = loaded.age_ms(millis(now_ns));
    let endpoints = loaded.table.endpoints.len() as u64;
    worker.metrics.set(Gauge::TableAgeMs, age_ms);
    worker.metrics.set(Gauge::TableEndpoints, endpoints);
}

/// The reports of all live workers in one. Workers that are gone are forgotten.
pub(crate) fn merged_report(
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
            None => _ = host::set_shared(&key, b"", Over::Anything)?,
        }
    }
    worker.awake.clone_from(&live);
    if live.len() < known.len() {
        // Lost to a worker that registers at this moment, this is done again with the next call.
        host::set_shared(
            &root.keys.workers,
            &shared::encode_workers(&live),
            Over::Read(stored.map(|stored| stored.cas)),
        )?;
    }
    let in_flight = reports
        .iter()
        .flat_map(|report| &report.endpoints)
        .map(|line| u64::from(line.in_flight))
        .sum();
    worker.metrics.set(Gauge::InFlight, in_flight);
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
        ..Report::default()
    })
}

pub(crate) fn millis(ns: u64) -> Millis {
    Millis(ns / 1_000_000)
}
