//! Endpoints that the table asks this proxy to try out, each with one request of one worker.
//!
//! Costs nothing while the table asks no proxy. Else a hostcall for the proxy's number, once, and two for a probe that is this proxy's.

use trimtab_loadtable::Probe;

use crate::config::Mode;
use crate::host::{self, HostError, Over};
use crate::pool::root::Root;
use crate::pool::worker::Worker;
use crate::sync::shared::{Lease, Probed};

/// Before a request is placed: lets it go to an endpoint that is to be tried out, if the table asks this proxy and no other worker was first.
/// `mode`: where not all requests go where they are sent, none tries anything out.
pub(crate) fn take(root: &Root, worker: &mut Worker, mode: Mode) {
    if mode != Mode::Enforce || !worker.is_asked_to_probe() {
        return;
    }
    let claimed = proxy(root).and_then(|proxy| match proxy {
        Some(proxy) => claim(root, worker, proxy),
        None => Ok(None),
    });
    match claimed {
        Ok(Some(probe)) => worker.probe_next(&probe),
        Ok(None) => {}
        Err(error) => worker.metrics.count_error(error),
    }
}

/// The proxy's number in reports; absent: it has none yet.
fn proxy(root: &Root) -> Result<Option<u64>, HostError> {
    if root.known_proxy.get().is_none() {
        let stored = host::shared(&root.keys.lease)?;
        let lease = stored.and_then(|stored| Lease::decode(&stored.value));
        root.known_proxy.set(lease.map(|lease| lease.proxy));
    }
    Ok(root.known_proxy.get())
}

/// The probe that this proxy is asked for and this worker has got; absent: there is none, or it was another worker's.
fn claim(root: &Root, worker: &Worker, proxy: u64) -> Result<Option<Probe>, HostError> {
    let Some((epoch, probe)) = worker.probe_of(proxy) else {
        return Ok(None);
    };
    let claim = Probed {
        epoch,
        number: probe.number,
    };
    if root.probed.get().is_some_and(|last| !claim.is_after(last)) {
        return Ok(None);
    }
    let stored = host::shared(&root.keys.probed)?;
    let last = stored
        .as_ref()
        .and_then(|stored| Probed::decode(&stored.value));
    root.probed.set(Some(claim));
    if last.is_some_and(|last| !claim.is_after(last)) {
        return Ok(None);
    }
    let over = Over::Read(stored.map(|stored| stored.cas));
    let got = host::set_shared(&root.keys.probed, &claim.encode(), over)?;
    Ok(got.then_some(probe))
}
