//! The right to sync for the whole proxy, in shared data: the hostcalls around [`lease`].

use crate::host::{self, HostError, Over};
use crate::pool::Pool;
use crate::sync::lease::{self, Step, When};
use crate::sync::shared::Lease;

/// Takes or keeps the lease. Returns `false` if another worker has it.
pub(crate) fn hold_lease(pool: &Pool, now_ns: u64, when: When) -> Result<bool, HostError> {
    let stored = host::shared(&pool.keys.lease)?;
    let current = stored
        .as_ref()
        .and_then(|stored| Lease::decode(&stored.value));
    let write = match lease::step(current, pool.worker_number, now_ns, when, pool.proxy_number) {
        Step::Hold => return Ok(true),
        Step::Leave => return Ok(false),
        Step::Write(lease) => lease,
    };
    let over = Over::Read(stored.map(|stored| stored.cas));
    host::set_shared(&pool.keys.lease, &write.encode(), over)
}

/// Returns the lease with the sequence of the report that goes out now. Returns `None` if another
/// worker has taken the lease. That worker numbers its reports itself. Of two reports with the same
/// number one would count as a copy.
pub(crate) fn next_report(pool: &Pool) -> Result<Option<Lease>, HostError> {
    let stored = host::shared(&pool.keys.lease)?;
    let current = stored
        .as_ref()
        .and_then(|stored| Lease::decode(&stored.value));
    let Some(lease) = current.filter(|lease| lease.holder == pool.worker_number) else {
        return Ok(None);
    };
    let lease = Lease {
        sequence: lease.sequence.saturating_add(1),
        claims: 0,
        ..lease
    };
    let over = Over::Read(stored.map(|stored| stored.cas));
    let written = host::set_shared(&pool.keys.lease, &lease.encode(), over)?;
    Ok(written.then_some(lease))
}
