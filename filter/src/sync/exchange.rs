//! The exchange with the other workers, through shared data. It runs on ticks and answers. On a
//! request it runs only if the others should know of the request at once, and then at most once in
//! 10 ms.

use trimtab_loadtable::Table;
use trimtab_report::of_worker;

use crate::host::{self, HostError, Over};
use crate::pool::state::PoolState;
use crate::pool::{Pool, millis, table};
use crate::sync::shared::{self, MAX_WORKERS, Stamp, StoredReport, StoredTable};
use crate::sync::wakeup;

/// Longest time between two reports that a worker writes, and between two checks that it is in the
/// list of workers.
const HEARTBEAT_NS: u64 = 1_000_000_000;
/// Least time between two wake-ups of the holder of the lease by a worker.
const LARGE_GAP_NS: u64 = 10_000_000;
/// Something urgent happened: a large placement, or something newly held. Writes the report and
/// wakes the holder of the lease at once. Soon after the last time this waits for the next urgent
/// event or the tick.
pub(crate) fn on_large(pool: &Pool, state: &mut PoolState) {
    let now_ns = pool.recent_ns();
    let pacing = &mut state.pacing;
    if now_ns.abs_diff(pacing.told_ns) < LARGE_GAP_NS {
        pacing.untold = true;
        return;
    }
    pacing.told_ns = now_ns;
    pacing.untold = false;
    let told = write_report(pool, state, now_ns).and_then(|()| wakeup::leader(pool, now_ns));
    if let Err(error) = told {
        state.metrics.count(error);
    }
}

/// Adopts the table that another worker has stored, if it is a different one.
pub(crate) fn take_shared_table(pool: &Pool, state: &mut PoolState) -> Result<(), HostError> {
    let Some(stamp) =
        host::shared(&pool.keys.stamp)?.and_then(|shared| Stamp::decode(&shared.value))
    else {
        return Ok(());
    };
    let have = state.version();
    if pool.seen_stamp.replace(Some(stamp)) == Some(stamp)
        || have.is_some_and(|have| (have.epoch, have.sequence) == (stamp.epoch, stamp.sequence))
    {
        return Ok(());
    }
    let Some(stored) = host::shared(&pool.keys.table)? else {
        return Ok(());
    };
    let Some(stored) = StoredTable::decode(&stored.value) else {
        return Ok(());
    };
    if state.has_none_of(stamp.epoch) {
        learn_first(pool, state, stamp)?;
    }
    // Checked again although its writer has checked it: the writer may have been another version of
    // this filter.
    match table::accept(stored.bytes, &pool.name, have) {
        Ok(table) => state.adopt(
            table,
            millis(stored.arrived_ns),
            stored.report_of(pool.worker_number),
        ),
        // The table was replaced between the two reads.
        Err(table::Refusal::NotNewer { .. }) => {}
        Err(refusal) => state.metrics.count(refusal.counts_as()),
    }
    Ok(())
}

/// Takes in what the aggregator's first table said that later ones do not repeat.
fn learn_first(pool: &Pool, state: &mut PoolState, stamp: Stamp) -> Result<(), HostError> {
    let stored = host::shared(&pool.keys.first)?;
    let first = stored.and_then(|stored| Table::decode(&stored.value).ok());
    if let Some(first) = first.filter(|first| first.version.epoch == stamp.epoch) {
        state.learn_held(&first, millis(stamp.arrived_ns));
    }
    Ok(())
}

/// Writes this worker's report if something has changed, or if [`HEARTBEAT_NS`] is over, as a sign
/// of life.
pub(crate) fn write_if_changed(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
) -> Result<(), HostError> {
    let is_over = |since_ns: u64| now_ns.abs_diff(since_ns) >= HEARTBEAT_NS;
    if is_over(state.pacing.registered_ns) {
        register(pool)?;
        state.pacing.registered_ns = now_ns;
    }
    if state.books.is_changed() || is_over(state.pacing.written_ns) {
        write_report(pool, state, now_ns)?;
    }
    Ok(())
}

/// Writes this worker's report where the holder of the lease finds it.
fn write_report(pool: &Pool, state: &mut PoolState, now_ns: u64) -> Result<(), HostError> {
    let me = pool.worker_number;
    let mut taken = 0;
    if state.books.waits() {
        let stored = host::shared(&pool.keys.taken)?;
        let all = stored.map(|stored| shared::decode_pairs(&stored.value));
        let own = all.and_then(|all| of_worker(&all, me));
        taken = own.unwrap_or(0);
    }
    let (lists, report) = state.books.write(&pool.name, me, taken);
    let stored = StoredReport {
        at_ns: now_ns,
        lists,
        memory_bytes: host::memory_bytes(),
        bytes: &report.encode(),
    };
    host::set_shared(&pool.keys.report(me), &stored.encode(), Over::Anything)?;
    state.pacing.written_ns = now_ns;
    Ok(())
}

/// Makes sure that this worker is in the list of workers, where the holder of the lease finds it.
fn register(pool: &Pool) -> Result<(), HostError> {
    for _ in 0..8 {
        let stored = host::shared(&pool.keys.workers)?;
        let mut workers = stored
            .as_ref()
            .map(|stored| shared::decode_workers(&stored.value))
            .unwrap_or_default();
        if workers.contains(&pool.worker_number) || workers.len() >= MAX_WORKERS {
            return Ok(());
        }
        workers.push(pool.worker_number);
        if host::set_shared(
            &pool.keys.workers,
            &shared::encode_workers(&workers),
            Over::Read(stored.map(|stored| stored.cas)),
        )? {
            return Ok(());
        }
    }
    Ok(())
}
