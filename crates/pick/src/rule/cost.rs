//! What a request would cost at an endpoint, in seconds. One function per term of
//! docs/algorithm.md#cost.

use crate::config::{
    ADAPTER_LOAD_S, MOST_ROOM_S, NAMED_S, NAMED_SHARE, NAMED_TOKENS, NO_ROOM_S, NOISE,
    NOISE_HALF_REQUESTS, RANK_PENALTY, TELL_S,
};
use crate::own::ledger::Ledger;
use crate::table::row::Row;
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
        let mean = usable(pool.uncached_tokens).unwrap_or(0.0);
        let prompt_tokens = request
            .prompt_tokens
            .map_or_else(|| f64::from(known) + mean, f64::from);
        let adapter_load_s = usable(pool.adapter_load_s).unwrap_or(ADAPTER_LOAD_S);
        Self {
            prompt_tokens,
            shared_tokens: f64::from(known).min(prompt_tokens),
            adapter: request.adapter,
            adapter_load_s,
            kv_tokens: prompt_tokens + usable(pool.output_tokens).unwrap_or(0.0),
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

fn usable(value: Option<f32>) -> Option<f64> {
    value
        .map(f64::from)
        .filter(|value| value.is_finite() && *value >= 0.0)
        .map(|value| value.min(1e9))
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
/// - Elsewhere: `price` loads, because the load also evicts another adapter.
///
/// Departs (docs/algorithm.md#departures) from the reference rule, which charges every endpoint
/// without the adapter the same. Then the first requests load the adapter at any quiet endpoint,
/// and later ones, which look at the ranks, do not find it.
pub(crate) fn adapter_s(
    endpoint: &EndpointLoad,
    demand: &Demand,
    rank: Option<u32>,
    price: f64,
) -> f64 {
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
        (false, None) => demand.adapter_load_s * price,
    }
}

/// What one request adds to the wait of those behind it, in seconds (`s` in
/// docs/algorithm.md#symbols): its prefill, and one more sequence to decode.
pub(crate) fn work_s(row: &Row, uncached_tokens: f64) -> f64 {
    uncached_tokens * row.prefill_s_per_token + row.decode_s
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::golden::idle;
    use crate::table::row::Room;
    use crate::{Conversation, Prefix};

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// 10,000 tokens per second, 20 ms per sequence.
    fn row() -> Row {
        Row {
            wait_s: 0.4,
            wait_known: true,
            crowd_s: 0.0,
            found_share: 1.0,
            room: Room::ENDLESS,
            is_member: true,
            prefill_s_per_token: 1e-4,
            decode_s: 0.02,
            speed: 1.0,
        }
    }

    fn demand(request: &Request, uncached_tokens: Option<f32>) -> Demand {
        Demand::new(
            request,
            &PoolFacts {
                uncached_tokens,
                ..PoolFacts::default()
            },
        )
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-12,
            "{found} is not {expected}"
        );
    }

    /// What an adapter costs at an endpoint that is not one of its ranks, in loads.
    const STRAY: f64 = 5.0;

    #[test]
    fn a_miss_costs_its_prefill_and_a_hit_nothing() {
        let demand = demand(
            &Request {
                prompt_tokens: Some(3_000),
                ..Request::default()
            },
            None,
        );
        close(miss_s(&row(), &demand, 0), 0.3);
        close(miss_s(&row(), &demand, 1_000), 0.2);
        close(miss_s(&row(), &demand, 3_000), 0.0);
        // A hit estimate above the prompt gives no bonus.
        close(miss_s(&row(), &demand, 9_000), 0.0);
    }

    #[test]
    fn what_another_endpoint_has_in_its_cache_costs_more_to_prefill_again() {
        let shared = Request {
            prompt_tokens: Some(3_000),
            prefix: Some(Prefix {
                key: 1,
                tokens: 2_000,
                ..Prefix::default()
            }),
            ..Request::default()
        };
        let demand = demand(&shared, None);
        close(loss_s(&row(), &demand, 0, 4.0), 0.8);
        close(loss_s(&row(), &demand, 1_000, 4.0), 0.4);
        close(loss_s(&row(), &demand, 2_000, 4.0), 0.0);
        close(loss_s(&row(), &demand, 3_000, 4.0), 0.0);
    }

    #[test]
    fn who_finds_no_room_waits_for_ends_and_own_unseen_requests_take_their_place_first() {
        // 1,000 tokens are free, and 500 more per second become free. One slot is free, and another
        // in two seconds.
        let full = Row {
            room: Room {
                tokens: 1_000.0,
                tokens_per_s: 500.0,
                slots: 1.0,
                ends_per_s: 0.5,
            },
            ..row()
        };
        close(room_s(&full, 1_000.0, (0.0, 0.0)), 0.0);
        close(room_s(&full, 1_500.0, (0.0, 0.0)), 1.0);
        close(room_s(&full, 1_000.0, (0.0, 250.0)), 0.5);
        close(room_s(&full, 100.0, (1.0, 100.0)), 2.0);
        close(room_s(&full, 1e9, (0.0, 0.0)), MOST_ROOM_S);
        close(room_s(&row(), 1e9, (1e3, 1e9)), 0.0);
    }

    #[test]
    fn work_is_prefill_and_one_more_sequence() {
        close(work_s(&row(), 3_000.0), 0.32);
        close(rank_penalty_s(&row(), 300.0), 0.03);
    }

    #[test]
    fn others_fill_what_lies_under_the_surface_and_only_their_share_counts() {
        close(level_s(&row(), 0.5, 1.0), 0.1);
        close(level_s(&row(), 0.5, 0.25), 0.025);
        close(level_s(&row(), 0.3, 1.0), 0.0);
        close(level_s(&row(), 0.5, 0.0), 0.0);
    }

    #[test]
    fn noise_is_half_a_request_with_many_unseen_and_none_with_none() {
        close(noise_s(0.3, 1e12, 1.0), 0.15);
        close(noise_s(0.3, 4.0, 1.0), 0.075);
        close(noise_s(0.3, 0.0, 1.0), 0.0);
        close(noise_s(0.3, 1e12, 0.0), 0.0);
    }

    #[test]
    fn leaving_home_costs_what_the_next_turn_will_miss() {
        let demand = demand(
            &Request {
                prompt_tokens: Some(3_000),
                ..Request::default()
            },
            None,
        );
        close(stay_s(&row(), &demand, 2_000, 0.8), 0.08);
        close(stay_s(&row(), &demand, 2_000, 0.0), 0.0);
    }

    #[test]
    fn an_unknown_prompt_is_what_is_known_of_it_and_the_pools_mean() {
        let prefix = Some(Prefix {
            key: 1,
            tokens: 500,
            ..Prefix::default()
        });
        let conversation = Some(Conversation {
            is_named: false,
            key: 2,
            history_tokens: 2_000,
        });
        let request = Request {
            prefix,
            conversation,
            ..Request::default()
        };
        close(demand(&request, Some(300.0)).prompt_tokens, 2_300.0);
        close(demand(&Request::default(), None).prompt_tokens, 0.0);
        for wild in [f32::NAN, f32::INFINITY, -1.0] {
            close(demand(&request, Some(wild)).prompt_tokens, 2_000.0);
        }
    }

    #[test]
    fn an_adapter_costs_nothing_where_it_is_one_load_at_home_and_five_elsewhere() {
        let mut endpoint = EndpointLoad {
            adapters: Some(vec![1, 4]),
            ..idle(1)
        };
        let wanting = |index| {
            let adapter = Some(Adapter { key: 7, index });
            let pool = PoolFacts {
                adapter_load_s: Some(0.25),
                ..PoolFacts::default()
            };
            Demand::new(
                &Request {
                    adapter,
                    ..Request::default()
                },
                &pool,
            )
        };
        close(adapter_s(&endpoint, &wanting(Some(4)), None, STRAY), 0.0);
        close(
            adapter_s(&endpoint, &wanting(Some(3)), Some(0), STRAY),
            0.25,
        );
        close(
            adapter_s(&endpoint, &wanting(Some(3)), Some(1), STRAY),
            0.325,
        );
        close(adapter_s(&endpoint, &wanting(Some(3)), None, STRAY), 1.25);
        close(adapter_s(&endpoint, &wanting(None), None, STRAY), 1.25);
        endpoint.adapter_room = Some(false);
        close(
            adapter_s(&endpoint, &wanting(Some(3)), Some(0), STRAY),
            0.25 + NO_ROOM_S,
        );
        close(adapter_s(&endpoint, &wanting(Some(4)), None, STRAY), 0.0);
        endpoint.adapter_room = Some(true);
        endpoint.adapters = None;
        close(adapter_s(&endpoint, &wanting(Some(4)), None, STRAY), 1.25);
        close(
            adapter_s(&endpoint, &demand(&Request::default(), None), None, STRAY),
            0.0,
        );
    }
}
