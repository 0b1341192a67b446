//! A worker's number, and the queue by which it is woken: when there is a new table, or when it leads and a report is urgent.
//!
//! The number tells the workers of a proxy apart, so it has to be unique: it is counted in shared data. (It was drawn from time and names
//! before; two VMs configured at the same instant got the same one, and one's report took the place of the other's.) In its lower half
//! stands the worker's queue, so that whoever knows the worker can wake it.
//!
//! The queues are bounded although a proxy's are not: a message is one byte, one per table, and only for workers that gave a sign of life
//! within 10 s; or one per 10 ms and worker with something urgent, and only for a leader whose lease has not run out. What a canary registers is never
//! read; nobody wakes it after that time.

use crate::host::{self, HostError, Over};
use crate::pool::Pool;
use crate::pool::state::PoolState;
use crate::sync::lease;
use crate::sync::shared::{self, Keys, Lease};

/// Tries to count; each one that fails has let another worker count, and a proxy has at most hundreds.
const TRIES: usize = 1_000;
/// There is a new table.
const TABLE: &[u8] = b"t";
/// Some worker has written a report that should not wait.
pub(crate) const URGENT: &[u8] = b"n";

/// A number that no other worker of this proxy has. `chance`: instead of the count when others were always faster to count.
pub(crate) fn number(keys: &Keys, chance: u64) -> Result<u64, HostError> {
    let Some(count) = count(keys)? else {
        return Ok(number_by_chance(chance));
    };
    // Without a queue the worker sees new tables on its ticks.
    let queue = host::register_queue(&keys.wake(count)).ok();
    Ok(compose(u64::from(count) << 32, queue))
}

/// A queue that belongs to no worker of a pool but to a VM with the role pick; absent: others were always faster to count, or the proxy
/// gives none. `chance`: tells its name apart from those of an earlier run of the count.
pub(crate) fn own_queue(chance: u64) -> Result<Option<u32>, HostError> {
    // No pool has that name.
    let keys = Keys::new("pick!");
    let Some(count) = count(&keys)? else {
        return Ok(None);
    };
    host::register_queue(&format!("{}/{chance:016x}", keys.wake(count))).map(Some)
}

/// A number for a proxy whose shared data does not work. It has no queue.
pub(crate) fn number_by_chance(chance: u64) -> u64 {
    compose(chance, None)
}

/// Counts this worker. `None`: others were always faster.
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

/// The queue of the worker of that number; absent: it has none. Envoy counts them from 1.
pub(crate) fn queue_of(number: u64) -> Option<u32> {
    let lower = number & u64::from(u32::MAX);
    u32::try_from(lower).ok().filter(|queue| *queue != 0)
}

/// There is a new table: wakes the other workers. One that cannot be woken sees it on its next tick.
pub(crate) fn others(pool: &Pool, state: &mut PoolState) {
    let awake = std::mem::take(&mut state.awake);
    for number in awake.iter().filter(|number| **number != pool.worker_number) {
        let Some(queue) = queue_of(*number) else {
            continue;
        };
        if let Err(error) = host::enqueue(queue, TABLE) {
            state.metrics.count_error(error);
        }
    }
    state.awake = awake;
}

/// This worker has written a report that should not wait: wakes the holder of the lease, which may be this worker itself. (That one
/// could do without its queue, but a call-out that is made while a request is being placed belongs to that request, and ends with it.)
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
