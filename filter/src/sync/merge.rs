//! Finds the reports of all workers, to merge them into the one that the holder of the lease sends:
//! the hostcalls around [`Merge`].

use trimtab_loadtable::Report;
use trimtab_report::{Call, Merge, Written};

use crate::host::{self, HostError, Over};
use crate::metrics::Gauge;
use crate::pool::Pool;
use crate::pool::state::PoolState;
use crate::sync::shared::{self, Lease, MAX_WORKERS, StoredReport};

/// A worker that has not written a report for so long is gone.
const WORKER_EXPIRES_NS: u64 = 10_000_000_000;

/// Returns the proxy's report under the sequence of `lease`, for `call`. Remembers which reports of
/// the workers it merges.
pub(crate) fn merged_report(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
    lease: Lease,
    call: Call,
) -> Result<Report, HostError> {
    let written = live_reports(pool, state, now_ns)?;
    state.awake.clear();
    state.awake.extend(written.iter().map(|own| own.worker));
    let mut merge = Merge::new(written);
    take_lists(pool, &mut merge)?;
    let head = Report {
        pool: pool.name.to_string(),
        proxy: lease.proxy,
        sequence: lease.sequence,
        have: state.version(),
        placement_key: state.loaded().map(|loaded| loaded.table.placement_key),
        wait_ms: pool.config.wait_ms,
        ..Report::default()
    };
    let report = state.outgoing.report(call, merge, head);
    let rows = report.endpoints.iter();
    let in_flight = rows.map(|row| u64::from(row.in_flight)).sum();
    state.metrics.set(Gauge::InFlight, in_flight);
    Ok(report)
}

/// Returns the newest report of each live worker. Forgets workers that are gone.
fn live_reports(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
) -> Result<Vec<Written>, HostError> {
    let stored = host::shared(&pool.keys.workers)?;
    let known = stored
        .as_ref()
        .map(|stored| shared::decode_workers(&stored.value))
        .unwrap_or_default();
    let mut live = Vec::with_capacity(known.len().min(MAX_WORKERS));
    let mut memory_bytes = 0;
    for worker in known.iter().copied().take(MAX_WORKERS) {
        let key = pool.keys.report(worker);
        let Some(stored) = host::shared(&key)? else {
            continue;
        };
        let stored = StoredReport::decode(&stored.value)
            .filter(|stored| stored.at_ns.abs_diff(now_ns) < WORKER_EXPIRES_NS);
        let read = stored.and_then(|stored| {
            let report = Report::decode(stored.bytes).ok()?;
            memory_bytes = stored.memory_bytes.max(memory_bytes);
            Some(Written {
                worker,
                lists: stored.lists,
                report,
            })
        });
        match read {
            Some(written) => live.push(written),
            // An empty value frees the memory; shared data has no removal.
            None => _ = host::set_shared(&key, b"", Over::Anything)?,
        }
    }
    state.metrics.set(Gauge::MemoryBytes, memory_bytes);
    if live.len() < known.len() {
        let workers: Vec<u64> = live.iter().map(|own| own.worker).collect();
        // If a worker that registers at this moment wins, the next call does this again.
        host::set_shared(
            &pool.keys.workers,
            &shared::encode_workers(&workers),
            Over::Read(stored.map(|stored| stored.cas)),
        )?;
    }
    Ok(live)
}

/// Takes the workers' lists that were not taken before.
fn take_lists(pool: &Pool, merge: &mut Merge) -> Result<(), HostError> {
    let stored = host::shared(&pool.keys.taken)?;
    let before = stored
        .as_ref()
        .map(|stored| shared::decode_pairs(&stored.value))
        .unwrap_or_default();
    let taken = merge.take_lists(&before);
    if taken != before {
        let over = Over::Read(stored.map(|stored| stored.cas));
        if !host::set_shared(&pool.keys.taken, &shared::encode_pairs(&taken), over)? {
            // Another worker, whose lease has just run out, took them.
            merge.drop_lists();
        }
    }
    Ok(())
}
