//! A worker's number, and the queue that wakes the worker: when there is a new table, or when it
//! holds the lease and a report is urgent.
//!
//! The number tells the workers of a proxy apart, so it has to be unique: it is counted in shared
//! data. Its lower half is the worker's queue, so other workers can wake the worker by its number
//! alone. Rejected: drawing the number from time and names. Two VMs configured at the same instant
//! got the same one, and one's report replaced the other's.
//!
//! The proxy does not bound its queues, so the filter does:
//!
//! - A new table is one byte for each worker that gave a sign of life within 10 s.
//! - An urgent report is one byte, at most one in 10 ms from each worker, and only for a holder
//!   whose lease has not expired.
//!
//! Nobody reads the queue of a canary, but nobody wakes a canary after those times either.

use crate::host::{self, HostError, Over};
use crate::pool::Pool;
use crate::pool::state::PoolState;
use crate::sync::lease;
use crate::sync::shared::{self, Keys, Lease};

/// Attempts to count. Each failed one means that another worker has counted, and a proxy has at
/// most hundreds.
const TRIES: usize = 1_000;
/// Message: there is a new table.
const TABLE: &[u8] = b"t";
/// Message: some worker has written an urgent report.
pub(crate) const URGENT: &[u8] = b"n";

/// Returns a number that no other worker of this proxy has.
///
/// - `chance`: used instead of the count if other workers always counted first.
pub(crate) fn number(keys: &Keys, chance: u64) -> Result<u64, HostError> {
    let Some(count) = count(keys)? else {
        return Ok(number_by_chance(chance));
    };
    // Without a queue the worker sees new tables on its ticks.
    let queue = host::register_queue(&keys.wake(count)).ok();
    Ok(compose(u64::from(count) << 32, queue))
}

/// Returns a queue that belongs to a VM with the role pick instead of a worker of a pool. `None`:
/// others always counted first.
///
/// - `chance`: distinguishes the queue's name from those of an earlier run of the count.
///
/// # Errors
/// The proxy gives no queue, or a hostcall on shared data failed.
pub(crate) fn own_queue(chance: u64) -> Result<Option<u32>, HostError> {
    // No pool has that name.
    let keys = Keys::new("pick!");
    let Some(count) = count(&keys)? else {
        return Ok(None);
    };
    host::register_queue(&format!("{}/{chance:016x}", keys.wake(count))).map(Some)
}

/// Returns a number for a worker whose proxy's shared data does not work. It has no queue.
pub(crate) fn number_by_chance(chance: u64) -> u64 {
    compose(chance, None)
}

/// Counts this worker. Returns `None` if others always counted first.
fn count(keys: &Keys) -> Result<Option<u32>, HostError> {
    for _ in 0..TRIES {
        let stored = host::shared(&keys.count)?;
        let before = stored
            .as_ref()
            .and_then(|stored| shared::decode_count(&stored.value));
        let count = before.unwrap_or(0).wrapping_add(1);
        let over = Over::Read(stored.map(|stored| stored.cas));
        if host::set_shared(&keys.count, &shared::encode_count(count), over)? {
            return Ok(u32::try_from(count).ok());
        }
    }
    Ok(None)
}

fn compose(upper: u64, queue: Option<u32>) -> u64 {
    upper & !u64::from(u32::MAX) | u64::from(queue.unwrap_or(0))
}

/// Returns the queue of the worker with that number. `None`: it has none. Envoy's queues begin with
/// number 1, so 0 stands for none.
pub(crate) fn queue_of(number: u64) -> Option<u32> {
    let lower = number & u64::from(u32::MAX);
    u32::try_from(lower).ok().filter(|queue| *queue != 0)
}

/// Wakes the other workers, because there is a new table. A worker that cannot be woken sees the
/// table on its next tick.
pub(crate) fn others(pool: &Pool, state: &mut PoolState) {
    let awake = std::mem::take(&mut state.awake);
    for number in awake.iter().filter(|number| **number != pool.worker_number) {
        let Some(queue) = queue_of(*number) else {
            continue;
        };
        if let Err(error) = host::enqueue(queue, TABLE) {
            state.metrics.count(error);
        }
    }
    state.awake = awake;
}

/// Wakes the holder of the lease, because this worker has written an urgent report. If the holder
/// is this worker itself, it is woken by its queue all the same: a call-out made while a request is
/// being placed would belong to that request, and end with it.
pub(crate) fn leader(pool: &Pool, now_ns: u64) -> Result<(), HostError> {
    let stored = host::shared(&pool.keys.lease)?;
    let lease = stored.and_then(|stored| Lease::decode(&stored.value));
    let holder = lease.filter(|lease| lease::is_current(lease, now_ns));
    match holder.and_then(|lease| queue_of(lease.holder)) {
        Some(queue) => host::enqueue(queue, URGENT).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_holds_the_queue_and_chance_does_not_make_one_up() {
        assert_eq!(queue_of(compose(7 << 32, Some(9))), Some(9));
        assert_eq!(queue_of(compose(7 << 32, None)), None);
        assert_eq!(queue_of(number_by_chance(u64::MAX)), None);
        assert_ne!(compose(7 << 32, Some(9)), compose(8 << 32, Some(9)));
    }
}
