//! The rule that ships.

use crate::candidates::{Candidate, Candidates, Origin};
use crate::cost::{self, Demand};
use crate::decision::Choices;
use crate::inflight::InFlight;
use crate::policy::{Policy, View};
use crate::snapshot::Row;
use crate::{Config, Decision, Reason, Request, Rng, Snapshot, fallback};

/// Water-level candidates: the cheapest of a few endpoints in seconds of predicted work, with an old table the
/// [fallback](crate::fallback).
#[derive(Debug)]
pub struct WaterLevel {
    config: Config,
}

impl WaterLevel {
    /// The rule with its settings.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Policy for WaterLevel {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, request: &Request) -> Decision {
        if view.snapshot.age_ms(view.now) <= self.config.table_max_age_ms {
            cheapest(request, view.snapshot, view.inflight, rng)
        } else {
            fallback::choose(request, view.snapshot, view.inflight, rng)
        }
    }
}

/// A candidate with its cost. `tie` breaks ties: between keys and draws at random, else equal endpoints would all be taken
/// in list order; among draws by their order, so that equally busy endpoints get requests in proportion to speed.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    candidate: Candidate,
    cost_s: f64,
    tie: (u64, usize),
}

/// The policy P0 (3.6): the cheapest of a few candidates; the others follow in the order of their costs.
fn cheapest(
    request: &Request,
    snapshot: &Snapshot,
    inflight: &InFlight,
    rng: &mut Rng,
) -> Decision {
    let demand = Demand::new(request, snapshot.pool());
    let candidates = Candidates::gather(request, snapshot, rng);
    let mut weighed = [Weighed::default(); Candidates::ROOM];
    let count = candidates.as_slice().len();
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
    let weighed = weighed.get_mut(..count).unwrap_or_default();
    weighed.sort_unstable_by(|a, b| a.cost_s.total_cmp(&b.cost_s).then(a.tie.cmp(&b.tie)));
    let mut choices = Choices::default();
    weighed
        .iter()
        .for_each(|weighed| choices.push(weighed.candidate.index));
    let best = weighed
        .first()
        .map(|weighed| weighed.candidate)
        .unwrap_or_default();
    Decision {
        choices,
        reason: reason(&best, &candidates, snapshot),
        wait_s: wait_s(best.index, snapshot, inflight),
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
    cost::start_s(row, inflight, candidate.index)
        + cost::miss_s(row, demand, candidate.hit_tokens)
        + cost::rank_penalty_s(row, candidate.penalty_tokens)
        + cost::adapter_s(endpoint, demand, candidate.adapter_rank)
}

fn reason(best: &Candidate, candidates: &Candidates, snapshot: &Snapshot) -> Reason {
    let cached_elsewhere = candidates
        .as_slice()
        .iter()
        .any(|candidate| candidate.hit_tokens > 0);
    match best.origin {
        _ if snapshot.choosable().len() == 1 => Reason::Single,
        _ if snapshot.only_suspects() => Reason::Suspect,
        Origin::Conversation => Reason::Conversation,
        Origin::Prefix => Reason::Prefix,
        Origin::Adapter => Reason::Adapter,
        Origin::Sample if cached_elsewhere => Reason::Spill,
        Origin::Sample => Reason::Load,
    }
}

fn wait_s(index: u32, snapshot: &Snapshot, inflight: &InFlight) -> Option<f64> {
    let row: &Row = snapshot.row(index)?;
    row.wait_known.then(|| cost::start_s(row, inflight, index))
}
