//! The simple version of the rule that ships.

#[cfg(test)]
mod tests;

use crate::rule::candidates::{Candidate, Candidates, Origin, prefix_key};
use crate::rule::cost::{self, Demand};
use crate::rule::policy::{Policy, View};
use crate::rule::{fallback, weighing};
use crate::{Booking, Config, Decision, Request, Rng, Snapshot};

/// Endpoints drawn per request. They differ from each other and from those of the keys.
const DRAWS: u32 = 2;
/// Ranks weighed for a shared prefix, and for an adapter.
const RANKS: u32 = 2;
/// What a rank after the first costs, as a share of the prefix.
const RANK_PENALTY: f64 = 0.3;

/// P0 (docs/algorithm.md#p0): the cheapest of the conversation's first rank, two ranks of the
/// prefix, two of the adapter, and two draws by speed. With an old table P0 uses own requests
/// alone. It has no level over the pool, no noise, no share of traffic and no heat list.
///
/// [`WaterLevel`](crate::WaterLevel) adds these, and P0 measures what each is worth. So P0 has
/// constants and a gathering of its own. The functions for the terms of the cost are the same in
/// both.
#[derive(Debug)]
pub struct P0 {
    config: Config,
}

impl P0 {
    /// Creates the rule with its settings. It reads only the age of the table from them.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Policy for P0 {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, booking: &Booking) -> Decision {
        let request = &booking.request;
        if view.snapshot.age_ms(view.now) <= self.config.table_max_age_ms {
            let demand = Demand::new(request, view.snapshot.pool());
            let candidates = gather(request, view.snapshot, rng);
            weighing::cheapest(&candidates, view, rng, &demand, |candidate, _| {
                cost_s(candidate, &demand, view)
            })
        } else {
            fallback::choose(request, view.snapshot, view.inflight, rng)
        }
    }

    fn expected_hit(&self, snapshot: &Snapshot, booking: &Booking, index: u32) -> u32 {
        let request = &booking.request;
        let history = request.conversation.map_or(0, |conversation| {
            let lives_there = snapshot.rank(conversation.key, 0) == Some(index);
            if lives_there {
                conversation.history_tokens
            } else {
                0
            }
        });
        let prefix = request.prefix.zip(prefix_key(request));
        let beginning = prefix.map_or(0, |(prefix, key)| {
            let lives_there = (0..RANKS).any(|rank| snapshot.rank(key, rank) == Some(index));
            if lives_there { prefix.tokens } else { 0 }
        });
        history.max(beginning)
    }
}

/// Seconds charged per second of uncached prefill, and loads charged for an adapter elsewhere than
/// at its ranks (docs/algorithm.md#p0).
const MISS_PRICE: f64 = 5.0;

fn cost_s(candidate: &Candidate, demand: &Demand, view: &View<'_>) -> f64 {
    let (Some(row), Some(endpoint)) = (
        view.snapshot.row(candidate.index),
        view.snapshot.endpoint(candidate.index),
    ) else {
        return f64::INFINITY;
    };
    cost::start_s(row, demand, view.inflight, candidate.index)
        + row.crowd_s
        + MISS_PRICE * cost::miss_s(row, demand, candidate.hit_tokens)
        + cost::rank_penalty_s(row, candidate.penalty_tokens)
        + cost::adapter_s(endpoint, demand, candidate.adapter_rank, MISS_PRICE)
}

/// Returns the endpoints where the request's keys belong, then the drawn ones in the order of the
/// draws.
fn gather(request: &Request, snapshot: &Snapshot, rng: &mut Rng) -> Candidates {
    let mut candidates = Candidates::default();
    let mut add = |key, rank, candidate| {
        if let Some(index) = snapshot.rank(key, rank) {
            candidates.add(Candidate { index, ..candidate });
        }
    };
    if let Some(conversation) = request.conversation {
        add(
            conversation.key,
            0,
            Candidate {
                origin: Origin::Conversation,
                hit_tokens: conversation.history_tokens,
                ..Candidate::default()
            },
        );
    }
    if let Some((prefix, key)) = request.prefix.zip(prefix_key(request)) {
        (0..RANKS).for_each(|rank| {
            add(
                key,
                rank,
                Candidate {
                    origin: Origin::Prefix,
                    hit_tokens: prefix.tokens,
                    penalty_tokens: RANK_PENALTY * f64::from(rank) * f64::from(prefix.tokens),
                    ..Candidate::default()
                },
            );
        });
    }
    if let Some(adapter) = request.adapter {
        (0..RANKS).for_each(|rank| {
            add(
                adapter.key,
                rank,
                Candidate {
                    origin: Origin::Adapter,
                    adapter_rank: Some(rank),
                    ..Candidate::default()
                },
            );
        });
    }
    for _ in 0..DRAWS {
        // Draws only endpoints that are not candidates yet. A repeated one adds nothing, and in a
        // small pool it would sometimes leave only a busy endpoint to choose.
        let mut room = [0; Candidates::ROOM];
        let taken = room.get_mut(..candidates.as_slice().len());
        let taken = taken.unwrap_or_default();
        for (slot, candidate) in taken.iter_mut().zip(candidates.as_slice()) {
            *slot = candidate.index;
        }
        if let Some(index) = snapshot.sample(rng, taken) {
            candidates.add(Candidate {
                index,
                ..Candidate::default()
            });
        }
    }
    candidates
}
