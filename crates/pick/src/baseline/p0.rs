//! The simple version of the rule that ships.

#[cfg(test)]
mod tests;

use crate::candidates::{Candidate, Candidates, Origin, prefix_key};
use crate::cost::{self, Demand};
use crate::decision::Choices;
use crate::inflight::InFlight;
use crate::policy::{Policy, View};
use crate::snapshot::Row;
use crate::{Config, Decision, Reason, Request, Rng, Snapshot, fallback};

/// Endpoints drawn per request, different from each other and from those of the keys.
const DRAWS: u32 = 2;
/// Ranks weighed for a shared prefix; for an adapter likewise.
const RANKS: u32 = 2;
/// What a rank after the first costs, as a share of the prefix.
const RANK_PENALTY: f64 = 0.3;

/// P0 (3.6 of the algorithm notes): the cheapest of the conversation's first rank, two of the prefix, two of the adapter,
/// and two drawn by speed; with an old table own requests alone (3.5). No level over the pool, no noise, no share
/// of traffic, no heat list.
///
/// What [`WaterLevel`](crate::WaterLevel) was before it had those, to measure what each adds. Constants, gathering
/// and the start of a request are therefore its own; the other terms of the cost are the same in both.
#[derive(Debug)]
pub struct P0 {
    config: Config,
}

impl P0 {
    /// The rule with its settings, of which it reads the age of the table alone.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Policy for P0 {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, request: &Request) -> Decision {
        if view.snapshot.age_ms(view.now) <= self.config.table_max_age_ms {
            cheapest(request, view.snapshot, view.inflight, rng)
        } else {
            fallback::choose(request, view.snapshot, view.inflight, rng)
        }
    }
}

/// The endpoints where the request's keys belong, then the drawn ones in the order of the draws.
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
        // Always endpoints that are not weighed yet: a draw that repeats one tells nothing, and in a small pool it
        // would now and then leave only a busy endpoint to choose.
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

/// A candidate with its cost. `tie` breaks ties: between keys and draws at random, among draws by their order, so that
/// equally busy endpoints get requests in proportion to speed.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    candidate: Candidate,
    cost_s: f64,
    tie: (u64, usize),
}

/// The cheapest of the candidates; the others follow in the order of their costs.
fn cheapest(
    request: &Request,
    snapshot: &Snapshot,
    inflight: &InFlight,
    rng: &mut Rng,
) -> Decision {
    let demand = Demand::new(request, snapshot.pool());
    let candidates = gather(request, snapshot, rng);
    let mut weighed = [Weighed::default(); Candidates::ROOM];
    let draws = rng.next_u64();
    let numbered = weighed.iter_mut().zip(candidates.as_slice()).enumerate();
    for (number, (slot, candidate)) in numbered {
        let tie = match candidate.origin {
            Origin::Sample => draws,
            _ => rng.next_u64(),
        };
        *slot = Weighed {
            candidate: *candidate,
            cost_s: cost_s(candidate, &demand, snapshot, inflight),
            tie: (tie, number),
        };
    }
    let count = candidates.as_slice().len();
    let weighed = weighed.get_mut(..count).unwrap_or_default();
    weighed.sort_unstable_by(|a, b| a.cost_s.total_cmp(&b.cost_s).then(a.tie.cmp(&b.tie)));
    let mut choices = Choices::default();
    weighed
        .iter()
        .for_each(|weighed| choices.push(weighed.candidate.index));
    let best = weighed.first().map(|weighed| weighed.candidate);
    let best = best.unwrap_or_default();
    let row = snapshot.row(best.index).filter(|row| row.wait_known);
    Decision {
        choices,
        reason: reason(&best, &candidates, snapshot),
        wait_s: row.map(|row| start_s(row, inflight, best.index)),
        candidates: u32::try_from(count).unwrap_or(u32::MAX),
    }
}

fn cost_s(candidate: &Candidate, demand: &Demand, snapshot: &Snapshot, inflight: &InFlight) -> f64 {
    let (Some(row), Some(endpoint)) = (
        snapshot.row(candidate.index),
        snapshot.endpoint(candidate.index),
    ) else {
        return f64::INFINITY;
    };
    start_s(row, inflight, candidate.index)
        + cost::miss_s(row, demand, candidate.hit_tokens)
        + cost::rank_penalty_s(row, candidate.penalty_tokens)
        + cost::adapter_s(endpoint, demand, candidate.adapter_rank)
}

/// Seconds until a new request's prefill starts: the table's wait and own work that it has not seen, never less than the
/// own prefill that is sent there and has shown no first byte.
fn start_s(row: &Row, inflight: &InFlight, index: u32) -> f64 {
    let told_s = row.wait_s + inflight.unseen_s(index);
    told_s.max(inflight.pending_s(index))
}

fn reason(best: &Candidate, candidates: &Candidates, snapshot: &Snapshot) -> Reason {
    let mut all = candidates.as_slice().iter();
    match best.origin {
        _ if snapshot.choosable().len() == 1 => Reason::Single,
        _ if snapshot.only_suspects() => Reason::Suspect,
        Origin::Conversation => Reason::Conversation,
        Origin::Prefix => Reason::Prefix,
        Origin::Adapter => Reason::Adapter,
        Origin::Sample if all.any(|candidate| candidate.hit_tokens > 0) => Reason::Spill,
        Origin::Sample => Reason::Load,
    }
}
