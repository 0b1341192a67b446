//! The bound of comparisons: one picker that sees the true state of all servers.

use trimtab_engine::{BLOCK_TOKENS, Profile};

use crate::server::{Life, Server};

/// The oracle's weights. The oracle is greedy, so no weights are best everywhere. A run is made
/// with each set, and the best run counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weights {
    /// Seconds of cost per second of this request's own uncached prefill.
    pub(crate) miss_price: f64,
    /// Weight of the time that one more running sequence costs the others.
    pub(crate) decode: f64,
}

impl Weights {
    /// In order: the time to first token alone; also the running sequences; also what a miss costs
    /// the others.
    pub(crate) const ALL: [Self; 3] = [
        Self {
            miss_price: 1.0,
            decode: 0.0,
        },
        Self {
            miss_price: 1.0,
            decode: 1.0,
        },
        Self {
            miss_price: 5.0,
            decode: 1.0,
        },
    ];
}

/// Mean tokens of an answer, and mean tokens of context, as the oracle assumes them.
const OUTPUT_TOKENS: f64 = 200.0;
const CONTEXT_TOKENS: f64 = 500.0;
/// Share of an answer's decode time that counts. The same as in the rule that ships.
const DECODE_WEIGHT: f64 = 0.4;

/// Returns the endpoint where a prompt of `tokens` tokens with this chain is cheapest. `adapter` is
/// the adapter that it needs.
pub(crate) fn choose(
    servers: &[Server],
    tokens: u32,
    chain: &[u64],
    adapter: Option<u32>,
    weights: Weights,
) -> Option<usize> {
    let serving = servers
        .iter()
        .enumerate()
        .filter(|(_, server)| server.life == Life::Serving);
    let cost = |(at, server): (usize, &Server)| {
        let mut cost = cost_s(server, tokens, chain, weights);
        if adapter.is_some_and(|adapter| !server.engine.holds_adapter(adapter)) {
            cost += weights.miss_price * server.engine.profile().adapter_load_s;
        }
        (at, cost)
    };
    let costs = serving.map(cost);
    costs.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

fn cost_s(server: &Server, tokens: u32, chain: &[u64], weights: Weights) -> f64 {
    let profile = server.engine.profile();
    let running = f64::from(server.engine.gauges().running);
    let uncached = f64::from(uncached(server, tokens, chain));
    let backlog = server.engine.prefill_left() as f64 + server.queued_tokens as f64;
    let per_sequence = profile.decode_s_per_sequence + profile.context_s_per_token * CONTEXT_TOKENS;
    let step_s = profile.step_base_s + running * per_sequence;
    let steps = ((backlog + uncached) / f64::from(profile.max_batched_tokens)).ceil();
    let prefill = |tokens: f64| tokens * profile.prefill_s_per_token;
    let decode = DECODE_WEIGHT * OUTPUT_TOKENS * per_sequence * running;
    (prefill(backlog)
        + weights.miss_price * prefill(uncached)
        + steps * step_s
        + blocks_s(server, uncached, step_s)
        + weights.decode * decode)
        / server.speed()
}

/// Returns seconds, at speed 1, until running requests have given back the KV blocks that the
/// request and the queue before it lack. Each running request is assumed to grow by half an answer.
fn blocks_s(server: &Server, uncached: f64, step_s: f64) -> f64 {
    let gauges = server.engine.gauges();
    let held = f64::from(gauges.kv_blocks_used) * f64::from(BLOCK_TOKENS);
    let grown = f64::from(gauges.running) * OUTPUT_TOKENS / 2.0;
    let wanted = server.queued_tokens as f64 + uncached;
    let lacking = held + grown + wanted - server.engine.profile().kv_tokens() as f64;
    // All held blocks are given back in the time of one answer.
    lacking.max(0.0) / held.max(1.0) * OUTPUT_TOKENS * step_s
}

/// Returns the prompt tokens that the endpoint would have to prefill.
pub(crate) fn uncached(server: &Server, tokens: u32, chain: &[u64]) -> u32 {
    let cached = server.engine.cached_tokens(chain);
    tokens.saturating_sub(cached).max(1)
}

/// Returns the seconds to the first token of a prompt on an idle endpoint with nothing cached.
pub(crate) fn idle_ttft_s(profile: &Profile, tokens: u32) -> f64 {
    let steps = f64::from(tokens.div_ceil(profile.max_batched_tokens));
    let tokens = f64::from(tokens);
    let weighted = tokens * (1.0 + tokens / 2.0 / profile.attention_half_tokens);
    (steps * profile.step_base_s + weighted * profile.prefill_s_per_token) / profile.speed
}
