//! Merges the reports of all workers into one, which the holder of the lease sends.

use trimtab_loadtable::Report;
use trimtab_report::{Call, Lists};

use crate::host::{self, HostError, Over};
use crate::metrics::Gauge;
use crate::pool::Pool;
use crate::pool::state::PoolState;
use crate::sync::shared::{self, Lease, MAX_WORKERS, StoredReport};

/// A worker that has not written a report for so long is gone.
const WORKER_EXPIRES_NS: u64 = 10_000_000_000;

/// A worker's newest report.
#[derive(Debug)]
struct Written {
    worker: u64,
    /// Number of the report's lists.
    lists: u64,
    memory_bytes: u64,
    report: Report,
}

impl Written {
    /// Drops what was seen, because it was taken before.
    fn forget_seen(&mut self) {
        let rows = &mut self.report.endpoints;
        rows.iter_mut().for_each(|row| row.seen.clear());
    }
}

/// Returns the proxy's report under the sequence of `lease`, for `call`. Remembers which reports of
/// the workers it merges.
pub(crate) fn merged_report(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
    lease: Lease,
    call: Call,
) -> Result<Report, HostError> {
    let mut written = live_reports(pool, now_ns)?;
    state.awake.clear();
    state.awake.extend(written.iter().map(|own| own.worker));
    let included = written.iter().map(|own| (own.worker, own.report.sequence));
    state.merged.push(lease.sequence, included.collect());
    let memory_bytes = written.iter().map(|own| own.memory_bytes).max();
    state
        .metrics
        .set(Gauge::MemoryBytes, memory_bytes.unwrap_or(0));
    let mut lists = take_lists(pool, &mut written)?;
    state.unheard.say(call, &mut lists.held);
    let reports = || written.iter().map(|own| &own.report);
    let workers = reports().map(|report| report.workers).sum::<u32>().max(1);
    let decided = reports().fold(0_u64, |sum, report| sum.saturating_add(report.decided));
    let endpoints = trimtab_report::merge(written.into_iter().flat_map(|own| own.report.endpoints));
    let in_flight = endpoints.iter().map(|row| u64::from(row.in_flight)).sum();
    state.metrics.set(Gauge::InFlight, in_flight);
    let row = |address: &String| {
        endpoints
            .binary_search_by(|row| row.address.cmp(address))
            .ok()
    };
    Ok(Report {
        pool: pool.name.to_string(),
        proxy: lease.proxy,
        sequence: lease.sequence,
        have: state.version(),
        placement_key: state.loaded().map(|loaded| loaded.table.placement_key),
        wait_ms: pool.config.wait_ms,
        workers,
        decided,
        prefixes: lists.prefixes(),
        moved: lists.moved(row),
        held: lists.held(row),
        endpoints,
    })
}

/// Returns the newest report of each live worker. Forgets workers that are gone.
fn live_reports(pool: &Pool, now_ns: u64) -> Result<Vec<Written>, HostError> {
    let stored = host::shared(&pool.keys.workers)?;
    let known = stored
        .as_ref()
        .map(|stored| shared::decode_workers(&stored.value))
        .unwrap_or_default();
    let mut live = Vec::with_capacity(known.len().min(MAX_WORKERS));
    for worker in known.iter().copied().take(MAX_WORKERS) {
        let key = pool.keys.report(worker);
        let Some(stored) = host::shared(&key)? else {
            continue;
        };
        let stored = StoredReport::decode(&stored.value)
            .filter(|stored| stored.at_ns.abs_diff(now_ns) < WORKER_EXPIRES_NS);
        let read = stored.and_then(|stored| {
            Some(Written {
                worker,
                lists: stored.lists,
                memory_bytes: stored.memory_bytes,
                report: Report::decode(stored.bytes).ok()?,
            })
        });
        match read {
            Some(written) => live.push(written),
            // An empty value frees the memory; shared data has no removal.
            None => _ = host::set_shared(&key, b"", Over::Anything)?,
        }
    }
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

/// Merges the lists that were not taken before. What was seen stays in the rows of the workers'
/// reports.
///
/// The lists are marked as taken before the call, so a failed call loses them on purpose: a
/// duplicate would count twice, a lost sample only thins a statistic. What endpoints keep is no
/// statistic; see [`Unheard`](trimtab_report::Unheard).
fn take_lists(pool: &Pool, written: &mut [Written]) -> Result<Lists<String>, HostError> {
    let mut lists = Lists::default();
    let stored = host::shared(&pool.keys.taken)?;
    let before = stored
        .as_ref()
        .map(|stored| shared::decode_pairs(&stored.value))
        .unwrap_or_default();
    let mut numbers = Vec::with_capacity(written.len());
    for own in written.iter_mut() {
        let last = before.iter().find(|(worker, _)| *worker == own.worker);
        let last = last.map_or(0, |(_, number)| *number);
        // Another worker had the lease until now. It may have taken newer lists than were read
        // here.
        numbers.push((own.worker, own.lists.max(last)));
        if own.lists > last {
            lists.add(&own.report);
        } else {
            own.forget_seen();
        }
    }
    if numbers == before {
        return Ok(lists);
    }
    let over = Over::Read(stored.map(|stored| stored.cas));
    let taken = host::set_shared(&pool.keys.taken, &shared::encode_pairs(&numbers), over)?;
    // Otherwise another worker, whose lease has just run out, took them.
    Ok(match taken {
        true => lists,
        false => {
            written.iter_mut().for_each(Written::forget_seen);
            Lists::default()
        }
    })
}
