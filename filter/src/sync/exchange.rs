//! The exchange with the other workers, through shared data. Runs on ticks and answers; on a request only when it brings so much prefill
//! that the others should know at once, and then at most each 10 ms.

use trimtab_loadtable::Table;
use trimtab_pick::Millis;

use crate::host::{self, HostError, Over};
use crate::metrics::{Counter, Gauge};
use crate::pool::root::Root;
use crate::pool::table;
use crate::pool::worker::Worker;
use crate::sync::calls;
use crate::sync::lease::{self, Step, When};
use crate::sync::shared::{self, Lease, Stamp, StoredReport, StoredTable};
use crate::sync::wakeup;

/// A worker's report is written at least this often, and its number is in the list of workers.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// Least time between two reports of a worker that the holder of the lease is woken for.
const NEWS_GAP_NS: u64 = 10_000_000;
/// Most workers of one proxy. Envoy has one per core.
pub(crate) const MAX_WORKERS: usize = 512;

/// What one tick does. An error ends this tick; the next one begins anew.
pub(crate) fn tick(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    take_shared_table(root, worker)?;
    write_if_changed(root, worker, now_ns)?;
    if std::mem::take(&mut worker.reporter.untold) {
        worker.reporter.told_ns = now_ns;
        wakeup::leader(root, now_ns)?;
    }
    if !hold_lease(root, now_ns, When::Tick)? {
        worker.news.forget();
        return Ok(());
    }
    set_gauges(worker, now_ns);
    calls::call_if_due(root, worker, now_ns)
}

/// There may be something to send: sends it, if this worker has the lease.
pub(crate) fn lead(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    if hold_lease(root, now_ns, When::Tick)? {
        return calls::call_if_due(root, worker, now_ns);
    }
    worker.news.forget();
    Ok(())
}

/// A request was placed that brings much prefill. The report is written and the leader told at once, or, soon after the last time, with
/// the next one or on the tick.
pub(crate) fn on_news(root: &Root, worker: &mut Worker) {
    let now_ns = root.recent_ns();
    let reporter = &mut worker.reporter;
    if now_ns.abs_diff(reporter.told_ns) < NEWS_GAP_NS {
        reporter.untold = true;
        return;
    }
    reporter.told_ns = now_ns;
    reporter.untold = false;
    let told = write_report(root, worker, now_ns).and_then(|()| wakeup::leader(root, now_ns));
    if let Err(error) = told {
        worker.metrics.count_error(error);
    }
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
    let Some(stored) = StoredTable::decode(&stored.value) else {
        return Ok(());
    };
    if worker.has_none_of(stamp.epoch) {
        learn_first(root, worker, stamp)?;
    }
    // Checked again although its writer has checked it: it may have been another version of this filter.
    match table::accept(stored.bytes, &root.pool, have) {
        Ok(table) => worker.adopt(
            table,
            millis(stored.arrived_ns),
            stored.report_of(root.worker_number),
        ),
        // The table was replaced between the two reads.
        Err(table::Refusal::NotNewer { .. }) => {}
        Err(refusal) => worker
            .metrics
            .count(Counter::TableRefusals, refusal.label()),
    }
    Ok(())
}

/// Takes in what the aggregator's first table said that later ones do not repeat.
fn learn_first(root: &Root, worker: &mut Worker, stamp: Stamp) -> Result<(), HostError> {
    let stored = host::shared(&root.keys.first)?;
    let first = stored.and_then(|stored| Table::decode(&stored.value).ok());
    if let Some(first) = first.filter(|first| first.version.epoch == stamp.epoch) {
        worker.learn_held(&first, millis(stamp.arrived_ns));
    }
    Ok(())
}

/// Writes this worker's report if there is something new, and now and then as a sign of life.
fn write_if_changed(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    let is_over = |since_ns: u64| now_ns.abs_diff(since_ns) >= HEARTBEAT_NS;
    if is_over(worker.reporter.registered_ns) {
        register(root)?;
        worker.reporter.registered_ns = now_ns;
    }
    let (tally, reporter) = (&worker.tally, &worker.reporter);
    if tally.is_changed() || reporter.has_more() || is_over(reporter.written_ns) {
        write_report(root, worker, now_ns)?;
    }
    Ok(())
}

/// Writes this worker's report where the leader finds it.
fn write_report(root: &Root, worker: &mut Worker, now_ns: u64) -> Result<(), HostError> {
    let me = root.worker_number;
    let mut taken = 0;
    if worker.reporter.waits() {
        let stored = host::shared(&root.keys.taken)?;
        let all = stored.map(|stored| shared::decode_pairs(&stored.value));
        let own = all.iter().flatten().find(|(worker, _)| *worker == me);
        taken = own.map_or(0, |(_, number)| *number);
    }
    let (lists, report) = worker.report(&root.pool, me, taken);
    let stored = StoredReport {
        at_ns: now_ns,
        lists,
        memory_bytes: host::memory_bytes(),
        bytes: &report.encode(),
    };
    host::set_shared(&root.keys.report(me), &stored.encode(), Over::Anything)?;
    worker.reporter.written_ns = now_ns;
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

/// Takes or keeps the right to sync. `false`: another worker has it.
pub(crate) fn hold_lease(root: &Root, now_ns: u64, when: When) -> Result<bool, HostError> {
    let stored = host::shared(&root.keys.lease)?;
    let current = stored
        .as_ref()
        .and_then(|stored| Lease::decode(&stored.value));
    let write = match lease::step(current, root.worker_number, now_ns, when, root.proxy_number) {
        Step::Hold => return Ok(true),
        Step::Leave => return Ok(false),
        Step::Write(lease) => lease,
    };
    let over = Over::Read(stored.map(|stored| stored.cas));
    host::set_shared(&root.keys.lease, &write.encode(), over)
}

/// The lease with the number of the report that goes out now. `None`: another worker has taken it, and numbers its reports itself; of two
/// with the same number one would count as a copy.
pub(crate) fn next_report(root: &Root) -> Result<Option<Lease>, HostError> {
    let stored = host::shared(&root.keys.lease)?;
    let current = stored
        .as_ref()
        .and_then(|stored| Lease::decode(&stored.value));
    let Some(lease) = current.filter(|lease| lease.holder == root.worker_number) else {
        return Ok(None);
    };
    let lease = Lease {
        sequence: lease.sequence.saturating_add(1),
        claims: 0,
        ..lease
    };
    let over = Over::Read(stored.map(|stored| stored.cas));
    let written = host::set_shared(&root.keys.lease, &lease.encode(), over)?;
    Ok(written.then_some(lease))
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

pub(crate) fn millis(ns: u64) -> Millis {
    Millis(ns / 1_000_000)
}
