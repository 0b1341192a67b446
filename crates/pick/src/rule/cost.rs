//! What a request would cost at an endpoint, in seconds. One function per term of
//! docs/algorithm.md#cost.

use crate::config::{
    ADAPTER_LOAD_S, MOST_ROOM_S, NAMED_S, NAMED_SHARE, NAMED_TOKENS, NO_ROOM_S, NOISE,
    NOISE_HALF_REQUESTS, RANK_PENALTY, STRAY_LOADS, TELL_S,
};
use crate::own::ledger::Ledger;
use crate::table::row::{self, Row};
use crate::{Adapter, EndpointLoad, PoolFacts, Request};

/// What a request brings along, with every gap filled. Computed once per decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// Prompt tokens, cached or not.
    pub(crate) prompt_tokens: f64,
    /// The prompt tokens that some endpoint is likely to have in its cache.
    pub(crate) shared_tokens: f64,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) adapter_load_s: f64,
    /// Tokens of KV cache that the request takes until it ends.
    pub(crate) kv_tokens: f64,
}

impl Demand {
    /// Fills the gaps. An unknown prompt counts as its known part plus the pool's mean of uncached
    /// tokens.
    pub(crate) fn new(request: &Request, pool: &PoolFacts) -> Self {
        let known = request.prefix.map_or(0, |prefix| prefix.tokens);
        let known = known.max(
            request
                .conversation
                .map_or(0, |conversation| conversation.history_tokens),
        );
        let mean = row::mean_uncached_tokens(pool);
        let prompt_tokens = request
            .prompt_tokens
            .map_or_else(|| f64::from(known) + mean, f64::from);
        let adapter_load_s = row::cost(pool.adapter_load_s).unwrap_or(ADAPTER_LOAD_S);
        Self {
            prompt_tokens,
            shared_tokens: f64::from(known).min(prompt_tokens),
            adapter: request.adapter,
            adapter_load_s,
            kv_tokens: prompt_tokens + row::tokens(pool.output_tokens).unwrap_or(0.0),
        }
    }

    /// Returns the prompt tokens that an endpoint with `hit_tokens` in its cache must prefill.
    pub(crate) fn uncached_tokens(&self, hit_tokens: u32) -> f64 {
        (self.prompt_tokens - f64::from(hit_tokens)).max(0.0)
    }

    /// Returns those of them that would not have to be prefilled elsewhere.
    fn lost_tokens(&self, hit_tokens: u32) -> f64 {
        (self.shared_tokens - f64::from(hit_tokens)).max(0.0)
    }
}

/// Seconds until a new request's prefill starts. The largest of three bounds:
///
/// - The table's wait (docs/algorithm.md#wait) plus own work that the table has not seen. An absent
///   wait counts as the longest of the pool.
/// - Own prefill that was sent there and has shown no first byte. Engines admit in order of
///   arrival, so this prefill certainly lies ahead.
/// - The time until there is room ([`room_s`]).
///
/// The maximum and not the sum, because the table may have seen the same work.
///
/// The reference rule (docs/algorithm.md#departures) has the sum, and takes the own share of the
/// queue out of the table's wait. That relies on the queue's length more than a table of two
/// pickers and four endpoints allows. The maximum does not rely on it.
pub(crate) fn start_s(row: &Row, demand: &Demand, inflight: &Ledger, index: u32) -> f64 {
    let told_s = row.wait_s + inflight.unseen_s(index);
    let unseen = (
        f64::from(inflight.unseen_requests(index)),
        inflight.unseen_tokens(index) as f64,
    );
    told_s
        .max(inflight.pending_s(index))
        .max(room_s(row, demand.kv_tokens, unseen))
}

/// Seconds until the endpoint has KV cache and a batch slot for a request that needs `tokens`.
///
/// Requests that lack either wait for others to end, and not for prefill. Where requests already
/// wait for slots, the row's wait contains that time.
///
/// - `tokens`: KV cache that the request takes until it ends.
/// - `unseen`: own sends that the row has not seen, and their prompt tokens.
pub(crate) fn room_s(row: &Row, tokens: f64, unseen: (f64, f64)) -> f64 {
    let room = &row.room;
    let lacking = tokens + unseen.1 - room.tokens;
    let tokens_s = (lacking / room.tokens_per_s).max(0.0);
    let slots_s = match room.slots < 1.0 {
        true => row.wait_s + unseen.0 / room.ends_per_s,
        false => ((1.0 + unseen.0 - room.slots) / room.ends_per_s).max(0.0),
    };
    tokens_s.max(slots_s).min(MOST_ROOM_S)
}

/// What the other pickers have likely sent there since the table, in seconds: they have filled
/// every wait up to the surface (docs/algorithm.md#level).
///
/// - `surface_s`: the water level.
/// - `others`: their share of the pool's traffic, 0 to 1.
pub(crate) fn level_s(row: &Row, surface_s: f64, others: f64) -> f64 {
    others * (surface_s - row.load_s()).max(0.0)
}

/// The width of the noise that keeps pickers from all choosing the same endpoint, in seconds
/// (docs/algorithm.md#noise).
///
/// - `work_s`: what a mean request adds to the wait.
/// - `unseen`: requests of the other pickers that the table does not show.
/// - `others`: their share of the pool's traffic, 0 to 1.
///
/// The reference rule has the same noise whatever the table's age. A table of 20 ms shows nearly
/// all requests.
pub(crate) fn noise_s(work_s: f64, unseen: f64, others: f64) -> f64 {
    NOISE * others * work_s * unseen / (unseen + NOISE_HALF_REQUESTS)
}

/// What leaving home costs when no picker reports, in seconds. The next turn looks at home for the
/// tokens that this turn adds to the `history_tokens` there.
///
/// - `later_share`: the chance that there is a next turn.
pub(crate) fn stay_s(row: &Row, demand: &Demand, history_tokens: u32, later_share: f64) -> f64 {
    later_share * demand.uncached_tokens(history_tokens) * row.prefill_s_per_token
}

/// What leaving home costs when pickers report, in seconds: a line in the next tables, and a place
/// in the memory of each picker.
///
/// - `later_share`: the chance that there is a next turn.
pub(crate) fn tell_s(later_share: f64) -> f64 {
    later_share * TELL_S
}

/// What leaving home costs a request of a session that its client names, in seconds. It is not
/// known how much of the prompt earlier requests had.
pub(crate) fn named_s(row: &Row, demand: &Demand) -> f64 {
    let before = NAMED_SHARE * demand.prompt_tokens.min(NAMED_TOKENS);
    (before * row.prefill_s_per_token).max(NAMED_S)
}

/// What the uncached part of the prompt delays this request, in seconds.
///
/// Departs (docs/algorithm.md#departures) from the reference rule, which counts it five times, for
/// the requests behind it. These wait as long wherever the request goes. The exception is a request
/// that loses what is cached elsewhere, and [`loss_s`] counts that.
pub(crate) fn miss_s(row: &Row, demand: &Demand, hit_tokens: u32) -> f64 {
    demand.uncached_tokens(hit_tokens) * row.prefill_s_per_token
}

/// What it costs the other requests that this one prefills what is cached elsewhere, in seconds.
///
/// - `price`: from [`price::of_loss`](crate::rule::price::of_loss).
pub(crate) fn loss_s(row: &Row, demand: &Demand, hit_tokens: u32, price: f64) -> f64 {
    price * demand.lost_tokens(hit_tokens) * row.prefill_s_per_token
}

/// What it costs not to be the first rank of a prefix, in seconds (docs/algorithm.md#rank-penalty).
pub(crate) fn rank_penalty_s(row: &Row, penalty_tokens: f64) -> f64 {
    penalty_tokens * row.prefill_s_per_token
}

/// Seconds until the endpoint has the adapter loaded (docs/algorithm.md#adapter).
///
/// - The endpoint has it: nothing. A server that does not say which adapters it has counts as
///   having none.
/// - Running requests use all adapter slots: one load, and the time until a slot is free. No
///   adapter is loaded before the last request of another one has ended.
/// - The endpoint is a `rank` of the adapter: one load, because the endpoint will need it anyway.
///   Later ranks cost a little more, so that a cold adapter has one copy.
/// - Elsewhere: [`STRAY_LOADS`] of them, because the load also evicts another adapter.
///
/// Departs (docs/algorithm.md#departures) from the reference rule, which charges every endpoint
/// without the adapter the same. Then the first requests load the adapter at any quiet endpoint,
/// and later ones, which look at the ranks, do not find it.
pub(crate) fn adapter_s(endpoint: &EndpointLoad, demand: &Demand, rank: Option<u32>) -> f64 {
    let Some(adapter) = demand.adapter else {
        return 0.0;
    };
    let list = endpoint.adapters.as_deref().unwrap_or(&[]);
    let resident = adapter
        .index
        .is_some_and(|index| list.binary_search(&index).is_ok());
    if !resident && endpoint.adapter_room == Some(false) {
        return demand.adapter_load_s + NO_ROOM_S;
    }
    match (resident, rank) {
        (true, _) => 0.0,
        (false, Some(rank)) => demand.adapter_load_s * (1.0 + RANK_PENALTY * f64::from(rank)),
        (false, None) => demand.adapter_load_s * STRAY_LOADS,
    }
}

/// What one request adds to the wait of those behind it, in seconds (`s` in
/// docs/algorithm.md#symbols): its prefill, and one more sequence to decode.
pub(crate) fn work_s(row: &Row, uncached_tokens: f64) -> f64 {
    uncached_tokens * row.prefill_s_per_token + row.decode_s
}

#[cfg(test)]
mod tests;
