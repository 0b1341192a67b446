//! What a request would cost on an endpoint, in seconds: one small function per term. Section numbers are those of the
//! algorithm notes.

use crate::config::{ADAPTER_LOAD_S, MISS_PRICE, RANK_PENALTY};
use crate::inflight::InFlight;
use crate::snapshot::Row;
use crate::{Adapter, EndpointLoad, PoolFacts, Request};

/// What a request brings along, with every gap filled. Computed once per decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// Prompt tokens, cached or not.
    pub(crate) prompt_tokens: f64,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) adapter_load_s: f64,
}

impl Demand {
    /// An unknown prompt counts as what is known to be in it plus the pool's mean of uncached tokens.
    pub(crate) fn new(request: &Request, pool: &PoolFacts) -> Self {
        let known = request.prefix.map_or(0, |prefix| prefix.tokens);
        let known = known.max(
            request
                .conversation
                .map_or(0, |conversation| conversation.history_tokens),
        );
        let mean = usable(pool.uncached_tokens).unwrap_or(0.0);
        let prompt_tokens = request
            .prompt_tokens
            .map_or_else(|| f64::from(known) + mean, f64::from);
        let adapter_load_s = usable(pool.adapter_load_s).unwrap_or(ADAPTER_LOAD_S);
        Self {
            prompt_tokens,
            adapter: request.adapter,
            adapter_load_s,
        }
    }

    /// Prompt tokens that an endpoint with `hit_tokens` in its cache must prefill.
    pub(crate) fn uncached_tokens(&self, hit_tokens: u32) -> f64 {
        (self.prompt_tokens - f64::from(hit_tokens)).max(0.0)
    }
}

fn usable(value: Option<f32>) -> Option<f64> {
    value
        .map(f64::from)
        .filter(|value| value.is_finite() && *value >= 0.0)
        .map(|value| value.min(1e9))
}

/// What the table says (3.2): seconds until a new request's prefill starts. An absent wait is the longest of the pool.
pub(crate) fn wait_s(row: &Row) -> f64 {
    row.wait_s
}

/// Own work that the table has not seen (3.6): exact, where the table is late.
pub(crate) fn own_s(inflight: &InFlight, index: u32) -> f64 {
    inflight.unseen_s(index)
}

/// What the uncached part of the prompt delays this request and the others (3.3, 3.4).
pub(crate) fn miss_s(row: &Row, demand: &Demand, hit_tokens: u32) -> f64 {
    MISS_PRICE * demand.uncached_tokens(hit_tokens) * row.prefill_s_per_token
}

/// The wish to stay on the first rank of a prefix (3.3).
pub(crate) fn rank_penalty_s(row: &Row, penalty_tokens: f64) -> f64 {
    penalty_tokens * row.prefill_s_per_token
}

/// What it takes to have the adapter resident: nothing where it is; where it is meant to live (`rank`) one load, because
/// the endpoint will need it anyway, and a little more on later ranks, so that a cold adapter has one copy; elsewhere
/// the price of a miss, because the load also turns out another adapter. A server that does not say what it holds
/// counts as not holding it.
///
/// Departs from 3.3, which charges every endpoint alike that does not have it: then the first requests load the adapter
/// wherever it is quiet, and later ones, which look at the ranks, do not find it.
pub(crate) fn adapter_s(endpoint: &EndpointLoad, demand: &Demand, rank: Option<u32>) -> f64 {
    let Some(adapter) = demand.adapter else {
        return 0.0;
    };
    let list = endpoint.adapters.as_deref().unwrap_or(&[]);
    let resident = adapter
        .index
        .is_some_and(|index| list.binary_search(&index).is_ok());
    match (resident, rank) {
        (true, _) => 0.0,
        (false, Some(rank)) => demand.adapter_load_s * (1.0 + RANK_PENALTY * f64::from(rank)),
        (false, None) => demand.adapter_load_s * MISS_PRICE,
    }
}

/// What one request adds to the wait of those behind it (`s` in 3.2): its prefill and one more sequence to decode.
pub(crate) fn work_s(row: &Row, uncached_tokens: f64) -> f64 {
    uncached_tokens * row.prefill_s_per_token + row.decode_s
}
