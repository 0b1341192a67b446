//! What servers keep for their clients, from one worker of this proxy to the others: at once, also while there is no aggregator that could
//! tell them, and when a new one has another key.
//!
//! Costs a hostcall for each answer that names something, and one for a request that asks for what its worker has not heard of.

use trimtab_pick::Millis;

use crate::facts::Digest;
use crate::host::{self, Over};
use crate::pool::state::{PoolState, Sent};
use crate::pool::{Pool, millis};
use crate::sync::exchange;
use crate::sync::shared::Kept;

/// The server that the request went to keeps something of that name: remembers it, and lets the others know, of this proxy and elsewhere.
pub(crate) fn tell(pool: &Pool, state: &mut PoolState, now: Millis, sent: &Sent, name: Digest) {
    state.on_held(now, sent, name);
    exchange::on_large(pool, state);
    let Some(address) = sent.address() else {
        return;
    };
    let name = name.bits();
    let kept = Kept { name, address }.encode();
    let told = host::set_shared(&pool.keys.kept(name), &kept, Over::Anything);
    if let Err(error) = told {
        state.metrics.count_error(error);
    }
}

/// Whether a server of that pool keeps something of that name.
pub(crate) fn keeps(pool: &Pool, name: Digest) -> bool {
    let now = millis(pool.now_ns());
    let found = pool.with(|state| {
        look_up(pool, state, now, Some(name));
        state.version().is_some() && state.knows_held(now, name)
    });
    found.unwrap_or(false)
}

/// Before a request is placed: asks where what it is about is kept, if this worker does not know. `name`: absent: it is about nothing.
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
        Err(error) => state.metrics.count_error(error),
    }
}
