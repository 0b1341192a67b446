//! Passes what servers keep for their clients from one worker of this proxy to the others. That
//! works at once, also while there is no aggregator that could pass it on, and when a new
//! aggregator has another key.
//!
//! Costs a hostcall for each answer that names something, and one for each request for something
//! that its worker does not know.

use trimtab_pick::Millis;
use trimtab_report::Sent;

use crate::config::destination::Form;
use crate::facts::Digest;
use crate::host::{self, Over};
use crate::pool::choice::Choice;
use crate::pool::state::PoolState;
use crate::pool::{Pool, millis};
use crate::sync::exchange;
use crate::sync::shared::Kept;

/// The server that the request went to keeps something under `name`. Remembers that, and passes it
/// on: to the other workers of this proxy, and by an urgent report to the aggregator.
pub(crate) fn tell(pool: &Pool, state: &mut PoolState, now: Millis, sent: &Sent, name: Digest) {
    state.on_held(now, sent, name);
    exchange::on_large(pool, state);
    let name = name.bits();
    let kept = Kept {
        name,
        address: sent.address(),
    }
    .encode();
    let told = host::set_shared(&pool.keys.kept(name), &kept, Over::Anything);
    if let Err(error) = told {
        state.metrics.count(error);
    }
}

/// Whether a server of that pool keeps something under `name`.
pub(crate) fn keeps(pool: &Pool, name: Digest) -> bool {
    let now = millis(pool.now_ns());
    let found = pool.with(|state| {
        look_up(pool, state, now, Some(name));
        state.version().is_some() && state.knows_held(now, name)
    });
    found.unwrap_or(false)
}

/// Called after a request was placed. Has Envoy ask one server after the other if nobody knows
/// which of them keeps what the request is about, as after a restart of all proxies and the
/// aggregator.
///
/// - `name`: absent: the request is about nothing that a server keeps.
/// - `at_once`: as in [`Choice::seek`].
/// - `choice`: absent: the proxy chooses.
pub(crate) fn seek(
    state: &mut PoolState,
    now: Millis,
    form: Form,
    name: Option<Digest>,
    at_once: bool,
    choice: Option<&mut Choice>,
) {
    let Some((name, choice)) = name.zip(choice) else {
        return;
    };
    // The other forms name a single server.
    let can_retry = form == Form::OverrideHost && !choice.observed;
    if !can_retry || state.knows_held(now, name) || !state.searches.begin(now) {
        return;
    }
    if let Some(loaded) = state.loaded() {
        choice.seek(loaded, name, at_once);
    }
}

/// Called before a request is placed. Asks shared data which server keeps what the request is
/// about, if this worker does not know.
///
/// - `name`: absent: the request is about nothing that a server keeps.
pub(crate) fn look_up(pool: &Pool, state: &mut PoolState, now: Millis, name: Option<Digest>) {
    let Some(name) = name.filter(|name| !state.knows_held(now, *name)) else {
        return;
    };
    match host::shared(&pool.keys.kept(name.bits())) {
        Ok(stored) => {
            let kept = stored
                .as_ref()
                .and_then(|stored| Kept::decode(&stored.value));
            if let Some(kept) = kept.filter(|kept| kept.name == name.bits()) {
                state.on_told_held(now, name, kept.address);
            }
        }
        Err(error) => state.metrics.count(error),
    }
}
