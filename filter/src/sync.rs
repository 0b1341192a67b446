//! The exchange of reports and tables: between the workers of the proxy, and with the aggregator.
//!
//! Each worker writes its report into shared data and takes the table from there (`exchange`). One
//! worker holds the lease (`holder`): it adds the reports up (`merge`) and calls the aggregator
//! (`calls`). Workers wake each other by queues (`wakeup`).
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only a VM has callbacks")
)]

pub(crate) mod calls;
pub(crate) mod exchange;
pub(crate) mod holder;
pub(crate) mod lease;
pub(crate) mod long_poll;
pub(crate) mod merge;
pub(crate) mod pacing;
pub(crate) mod report_call;
pub(crate) mod shared;
pub(crate) mod wakeup;

use crate::host::{self, HostError};
use crate::metrics::Gauge;
use crate::pool::state::PoolState;
use crate::pool::{Pool, millis};
use crate::sync::lease::When;

/// The most messages read at once; more than any queue holds.
const MAX_MESSAGES: usize = 1_000;

/// Does what is due on a tick.
pub(crate) fn on_tick(pool: &Pool) {
    let now_ns = pool.now_ns();
    pool.with(|state| {
        let ticked = tick(pool, state, now_ns);
        // Flushes also after a failed step: the counters show the failure to the operator.
        for error in [ticked, state.metrics.flush()]
            .into_iter()
            .filter_map(Result::err)
        {
            state.metrics.count(error);
        }
    });
}

/// Whether the queue belongs to the pool's own worker.
pub(crate) fn has_queue(pool: &Pool, queue: u32) -> bool {
    wakeup::queue_of(pool.worker_number) == Some(queue)
}

/// Another worker has put something into a queue that this VM registered.
pub(crate) fn on_queue_ready(pool: &Pool, queue: u32) {
    pool.with(|state| {
        if let Err(error) = answer(pool, state, queue) {
            state.metrics.count(error);
        }
    });
}

/// A call-out that this VM made has ended.
pub(crate) fn on_call_response(pool: &Pool, token: u32, body_bytes: usize) {
    let now_ns = pool.now_ns();
    pool.with(|state| {
        let answered = match state.report_call.is_over(token) {
            true => calls::report_answered(pool, state, now_ns),
            false => calls::answered(pool, state, token, body_bytes, now_ns),
        };
        if let Err(error) = answered {
            state.metrics.count(error);
        }
    });
}

/// Does the steps of one tick. An error ends this tick; the next one begins anew.
fn tick(pool: &Pool, state: &mut PoolState, now_ns: u64) -> Result<(), HostError> {
    exchange::take_shared_table(pool, state)?;
    exchange::write_if_changed(pool, state, now_ns)?;
    if std::mem::take(&mut state.pacing.untold) {
        state.pacing.told_ns = now_ns;
        wakeup::leader(pool, now_ns)?;
    }
    if !holder::hold_lease(pool, now_ns, When::Tick)? {
        state.report_call.forget();
        return Ok(());
    }
    set_gauges(state, now_ns);
    calls::call_if_due(pool, state, now_ns)
}

fn set_gauges(state: &mut PoolState, now_ns: u64) {
    let Some(loaded) = state.loaded() else {
        return;
    };
    let age_ms = loaded.age_ms(millis(now_ns));
    let endpoints = loaded.table.endpoints.len() as u64;
    state.metrics.set(Gauge::TableAgeMs, age_ms);
    state.metrics.set(Gauge::TableEndpoints, endpoints);
}

/// Handles messages in a queue of this worker. Messages of a kind say the same, so all are taken
/// out and each kind is handled once. The proxy makes a callback for each message, even if it has
/// been taken out by then.
fn answer(pool: &Pool, state: &mut PoolState, queue: u32) -> Result<(), HostError> {
    let (mut table, mut urgent) = (false, false);
    for _ in 0..MAX_MESSAGES {
        match host::dequeue(queue)? {
            Some(message) if message == wakeup::URGENT => urgent = true,
            Some(_) => table = true,
            None => break,
        }
    }
    if table {
        exchange::take_shared_table(pool, state)?;
    }
    if urgent {
        state.report_call.want();
        calls::lead(pool, state, pool.now_ns())?;
    }
    Ok(())
}
