//! Endpoints that the table asks this proxy to probe: one worker tries each with one request.
//!
//! Costs nothing while the table asks no proxy. Else one hostcall, once, for the proxy's number,
//! and two for a probe that is for this proxy.

use trimtab_loadtable::Probe;

use crate::config::Mode;
use crate::host::{self, HostError, Over};
use crate::pool::Pool;
use crate::pool::state::PoolState;
use crate::sync::shared::{Lease, Probed};

/// Called before a request is placed. Lets the request go to an endpoint that is to be probed, if
/// the table asks this proxy and no other worker has taken the probe.
///
/// - `mode`: only [`Mode::Enforce`] probes. In the others not all requests go where the filter
///   sends them.
pub(crate) fn take(pool: &Pool, state: &mut PoolState, mode: Mode) {
    if mode != Mode::Enforce || !state.is_asked_to_probe() {
        return;
    }
    let claimed = proxy(pool).and_then(|proxy| match proxy {
        Some(proxy) => claim(pool, state, proxy),
        None => Ok(None),
    });
    match claimed {
        Ok(Some(probe)) => state.probe_next(&probe),
        Ok(None) => {}
        Err(error) => state.metrics.count(error),
    }
}

/// Returns the proxy's number in reports. `None`: it has none yet.
fn proxy(pool: &Pool) -> Result<Option<u64>, HostError> {
    if pool.known_proxy.get().is_none() {
        let stored = host::shared(&pool.keys.lease)?;
        let lease = stored.and_then(|stored| Lease::decode(&stored.value));
        pool.known_proxy.set(lease.map(|lease| lease.proxy));
    }
    Ok(pool.known_proxy.get())
}

/// Returns the probe that the table asks this proxy for and that this worker has taken. `None`:
/// there is no probe, or another worker has taken it.
fn claim(pool: &Pool, state: &PoolState, proxy: u64) -> Result<Option<Probe>, HostError> {
    let Some((epoch, probe)) = state.probe_of(proxy) else {
        return Ok(None);
    };
    let claim = Probed {
        epoch,
        number: probe.number,
    };
    if pool.probed.get().is_some_and(|last| !claim.is_after(last)) {
        return Ok(None);
    }
    let stored = host::shared(&pool.keys.probed)?;
    let last = stored
        .as_ref()
        .and_then(|stored| Probed::decode(&stored.value));
    pool.probed.set(Some(claim));
    if last.is_some_and(|last| !claim.is_after(last)) {
        return Ok(None);
    }
    let over = Over::Read(stored.map(|stored| stored.cas));
    let got = host::set_shared(&pool.keys.probed, &claim.encode(), over)?;
    Ok(got.then_some(probe))
}
