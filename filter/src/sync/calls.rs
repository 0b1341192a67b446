//! The calls to the aggregator: the long poll (report out, table in), and beside it urgent reports.
//! The hostcalls around [`crate::sync::long_poll`] and [`crate::sync::report_call`].

use trimtab_loadtable::limits;
use trimtab_report::{Call, of_worker};

use crate::host::{self, Buffer, HostError, HttpCall, Level, Map, Over};
use crate::metrics::{Event as _, ReportCalls, SyncErrors, Syncs};
use crate::pool::state::PoolState;
use crate::pool::{Pool, millis, table};
use crate::sync::holder;
use crate::sync::lease::When;
use crate::sync::long_poll::{Answer, Due, Sync};
use crate::sync::merge::merged_report;
use crate::sync::report_call;
use crate::sync::shared::{Lease, Stamp, StoredTable};
use crate::sync::wakeup;

/// What helps a proxy that is not allowed to ask.
const ALLOW: &str = "; let this proxy POST to /v1/pools/{*}/sync and /v1/pools/{*}/report (its credentials, the aggregator's `allow`, in Istio AuthorizationPolicy)";
/// The header of an answer that names the proxy's report that its table has taken in.
const REPORT_HEADER: &str = "x-trimtab-report";

/// The last part of a call's path.
fn route(call: Call) -> &'static str {
    match call {
        Call::Sync => "sync",
        Call::Report => "report",
    }
}

/// Sends what is due, if this worker has the lease.
pub(crate) fn lead(pool: &Pool, state: &mut PoolState, now_ns: u64) -> Result<(), HostError> {
    if holder::hold_lease(pool, now_ns, When::Tick)? {
        return call_if_due(pool, state, now_ns);
    }
    state.report_call.forget();
    Ok(())
}

/// Calls the aggregator if a call is due and none of its kind is under way. The poll goes first,
/// because it also reports; else an urgent report is sent.
pub(crate) fn call_if_due(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
) -> Result<(), HostError> {
    let now = millis(now_ns);
    let poll_is_due = match state.sync.is_due(now, pool.config.wait_ms, &mut state.rng) {
        Due::Now => true,
        Due::No => false,
        Due::Lost => {
            state.metrics.count(SyncErrors::Lost);
            false
        }
    };
    if !poll_is_due && !state.report_call.is_due(now) {
        return Ok(());
    }
    match holder::next_report(pool)? {
        Some(lease) if poll_is_due => poll(pool, state, now_ns, lease),
        Some(lease) => send_report(pool, state, now_ns, lease),
        None => Ok(()),
    }
}

/// Sends a report and asks for a table.
fn poll(pool: &Pool, state: &mut PoolState, now_ns: u64, lease: Lease) -> Result<(), HostError> {
    let now = millis(now_ns);
    let timeout_ms = Sync::timeout_ms(pool.config.wait_ms);
    match call(pool, state, now_ns, lease, Call::Sync, timeout_ms)? {
        Ok(token) => {
            state.sync.on_called(now, token);
            state.asked_with = state.version();
            state.report_call.forget();
        }
        Err(error) => {
            let missing = error.status == HostError::BAD_ARGUMENT;
            let kind = match missing {
                true => SyncErrors::NoCluster,
                false => SyncErrors::CallRefused,
            };
            state.metrics.count(kind);
            state.sync.on_failed(now, &mut state.rng);
            pool.warn_once(
                state,
                kind.label(),
                Level::Error,
                &format!(
                    "aggregator.cluster: `{}`: the proxy refuses the call ({error}); define that cluster, or, in a mesh, let this proxy see the aggregator's namespace",
                    pool.config.cluster
                ),
            );
        }
    }
    Ok(())
}

/// Sends a report without asking for a table.
fn send_report(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
    lease: Lease,
) -> Result<(), HostError> {
    let now = millis(now_ns);
    match call(
        pool,
        state,
        now_ns,
        lease,
        Call::Report,
        report_call::TIMEOUT_MS,
    )? {
        Ok(token) => state.report_call.on_called(now, token),
        Err(_) => {
            state.metrics.count(ReportCalls::CallRefused);
            state.report_call.on_failed(now);
        }
    }
    Ok(())
}

/// Makes a call with the merged report of all workers, under the sequence of `lease`.
///
/// # Errors
/// Outer: there is no report. Inner: the proxy refuses the call.
fn call(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
    lease: Lease,
    call: Call,
    timeout_ms: u32,
) -> Result<Result<u32, HostError>, HostError> {
    let report = merged_report(pool, state, now_ns, lease, call)?;
    let config = &pool.config;
    let path = ["/v1/pools/", &pool.name, "/", route(call)].concat();
    let made = host::http_call(&HttpCall {
        cluster: &config.cluster,
        headers: &[
            (":method", "POST"),
            (":path", &path),
            (":authority", &config.authority),
            ("content-type", "application/x-protobuf"),
            ("accept", "application/x-protobuf"),
        ],
        body: &report.encode(),
        timeout_ms,
    });
    if made.is_err() {
        state.outgoing.failed(call);
    }
    Ok(made)
}

/// Handles the end of a call with a report.
pub(crate) fn report_answered(
    pool: &Pool,
    state: &mut PoolState,
    now_ns: u64,
) -> Result<(), HostError> {
    let heard = match answer_status() {
        Ok(status) => status.as_deref() == Some(b"204"),
        Err(error) => {
            state.metrics.count(error);
            false
        }
    };
    let end = match heard {
        true => ReportCalls::Sent,
        false => ReportCalls::Failed,
    };
    state.metrics.count(end);
    if heard {
        state.outgoing.heard(Call::Report);
    } else {
        state.outgoing.failed(Call::Report);
        state.report_call.on_failed(millis(now_ns));
    }
    lead(pool, state, now_ns)
}

/// Handles the end of a poll. Ignores other call-outs.
pub(crate) fn answered(
    pool: &Pool,
    state: &mut PoolState,
    token: u32,
    body_bytes: usize,
    now_ns: u64,
) -> Result<(), HostError> {
    if !state.sync.is_mine(token) {
        return Ok(());
    }
    let now = millis(now_ns);
    // Whatever happens below, the call is over: a failing hostcall must not leave it under way.
    state.sync.on_failed(now, &mut state.rng);
    let status = answer_status()?;
    match Answer::of(status.as_deref()) {
        Answer::Table => {
            state.outgoing.heard(Call::Sync);
            take_answer(pool, state, body_bytes, now_ns)?;
        }
        Answer::NoNewer => {
            state.outgoing.heard(Call::Sync);
            state.metrics.count(Syncs::NoNews);
            state.sync.on_answered();
        }
        Answer::Failed(kind) => {
            state.outgoing.failed(Call::Sync);
            state.metrics.count(kind);
            let label = kind.label();
            let status = String::from_utf8_lossy(status.as_deref().unwrap_or(b"none")).into_owned();
            let fix = if kind == SyncErrors::Forbidden {
                ALLOW
            } else {
                ""
            };
            let message = format!(
                "sync failed: {label} (status {status}); the last table stays in use and its age grows{fix}"
            );
            pool.warn_once(state, label, Level::Warn, &message);
        }
    }
    // The next poll follows at once if the minimal gap allows, else with the next tick.
    lead(pool, state, now_ns)
}

/// Returns the status of the answer that has come. `None`: the call was reset.
fn answer_status() -> Result<Option<Vec<u8>>, HostError> {
    match host::header(Map::HttpCallResponseHeaders, ":status") {
        // A call that was reset has no headers at all. Asking for one is then a bad argument.
        Err(error) if error.status == HostError::BAD_ARGUMENT => Ok(None),
        status => status,
    }
}

/// Returns the workers' reports that the table of the answer has taken in: pairs of a worker and
/// the number of its report. Empty: not known.
fn included(state: &mut PoolState) -> Vec<(u64, u64)> {
    let header =
        host::header(Map::HttpCallResponseHeaders, REPORT_HEADER).unwrap_or_else(|error| {
            // Own work then counts less exactly, but the table is used all the same.
            state.metrics.count(error);
            None
        });
    let text = header.and_then(|value| String::from_utf8(value).ok());
    let sequence = text.and_then(|text| text.parse().ok());
    let included = sequence.and_then(|sequence| state.outgoing.included(sequence));
    included.unwrap_or_default().to_vec()
}

/// Handles a table that came: checks it, adopts it, stores it for the other workers.
fn take_answer(
    pool: &Pool,
    state: &mut PoolState,
    body_bytes: usize,
    now_ns: u64,
) -> Result<(), HostError> {
    // One byte more than any table has, so that a longer answer is seen to be too long.
    let wanted = body_bytes.min(limits::TABLE_BYTES + 1);
    let bytes = host::buffer(Buffer::HttpCallResponseBody, 0, wanted)?.unwrap_or_default();
    match table::accept(&bytes, &pool.name, state.version()) {
        Ok(table) => {
            let stamp = Stamp {
                epoch: table.version.epoch,
                sequence: table.version.sequence,
                arrived_ns: now_ns,
            };
            let is_first = state.has_none_of(table.version.epoch) && !table.held.is_empty();
            let included = included(state);
            let stored = StoredTable::encode(now_ns, &included, &bytes);
            let own = of_worker(&included, pool.worker_number);
            state.adopt(table, millis(now_ns), own);
            state.sync.on_answered();
            state.metrics.count(Syncs::Table);
            pool.on_good_sync(state);
            if is_first {
                host::set_shared(&pool.keys.first, &bytes, Over::Anything)?;
            }
            host::set_shared(&pool.keys.table, &stored, Over::Anything)?;
            host::set_shared(&pool.keys.stamp, &stamp.encode(), Over::Anything)?;
            pool.seen_stamp.set(Some(stamp));
            wakeup::others(pool, state);
        }
        // While the lease moves, as when another plugin takes over, two workers may ask at once and
        // get the same table, or another worker's newer one overtakes this answer. A worker that
        // gets no new table rests as after a failure. So an aggregator that sends the same table
        // again and again is not asked without a pause.
        Err(refusal) if refusal.is_same() || refusal.is_overtaken(state.asked_with) => {
            state.metrics.count(Syncs::SameTable);
        }
        Err(refusal) => {
            let kind = refusal.counts_as();
            state.metrics.count(kind);
            let message = format!("table refused: {refusal}; the last good one stays in use");
            pool.warn_once(state, kind.label(), Level::Warn, &message);
        }
    }
    Ok(())
}
