//! The cheapest of a few candidates.

use crate::candidates::{Candidate, Candidates, Origin};
use crate::decision::Choices;
use crate::inflight::InFlight;
use crate::policy::View;
use crate::{Decision, Reason, Rng, Snapshot, cost};

/// A candidate with its cost. `tie` breaks ties: between keys and draws at random, else equal endpoints would all be taken
/// in list order; among draws by their order, so that equally busy endpoints get requests in proportion to speed.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    candidate: Candidate,
    cost_s: f64,
    tie: (u64, usize),
}

/// Decides for the candidate of the least `cost_s`; the others follow in the order of their costs.
pub(crate) fn cheapest(
    candidates: &Candidates,
    view: &View<'_>,
    rng: &mut Rng,
    mut cost_s: impl FnMut(&Candidate, &mut Rng) -> f64,
) -> Decision {
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
            cost_s: cost_s(candidate, rng),
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
        reason: reason(&best, candidates, view.snapshot),
        wait_s: wait_s(best.index, view.snapshot, view.inflight),
        candidates: u32::try_from(count).unwrap_or(u32::MAX),
        left_out: 0,
    }
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

/// Predicted seconds until a request that goes there starts its prefill; absent: the table does not say.
pub(crate) fn wait_s(index: u32, snapshot: &Snapshot, inflight: &InFlight) -> Option<f64> {
    let row = snapshot.row(index)?;
    row.wait_known.then(|| cost::start_s(row, inflight, index))
}
