//! Finds the cheapest of a few candidates.

use crate::decision::Choices;
use crate::own::ledger::Ledger;
use crate::rule::candidates::{Candidate, Candidates, Origin};
use crate::rule::cost;
use crate::rule::cost::Demand;
use crate::rule::policy::View;
use crate::{Booking, Decision, Reason, Rng, Snapshot};

/// A candidate with its cost.
///
/// `tie` decides between equal costs. Draws by level share one random number, so the first one
/// drawn wins among them, and equally busy endpoints get requests in proportion to speed. Every
/// other candidate has a random number of its own. Otherwise the order of the list would decide.
#[derive(Debug, Clone, Copy)]
struct Weighed<'a> {
    candidate: &'a Candidate,
    cost_s: f64,
    tie: (u64, usize),
}

impl Weighed<'_> {
    fn is_before(&self, other: &Self) -> bool {
        let order = self.cost_s.total_cmp(&other.cost_s);
        order.then(self.tie.cmp(&other.tie)).is_lt()
    }
}

/// The cheapest candidates so far, best first, as many as a decision lists.
#[derive(Debug, Default)]
struct Best<'a> {
    list: [Option<Weighed<'a>>; Choices::MOST],
}

impl<'a> Best<'a> {
    /// Inserts `new` in its place and moves the others down. The last one may drop out.
    fn offer(&mut self, new: Weighed<'a>) {
        let mut new = Some(new);
        for slot in &mut self.list {
            let goes_here = match (&new, &*slot) {
                (Some(new), Some(old)) => new.is_before(old),
                (new, _) => new.is_some(),
            };
            if goes_here {
                core::mem::swap(slot, &mut new);
            }
        }
    }
}

/// Decides for the candidate with the least `cost_s`. The others follow in the order of their
/// costs.
pub(crate) fn cheapest(
    candidates: &Candidates,
    view: &View<'_>,
    rng: &mut Rng,
    demand: &Demand,
    mut cost_s: impl FnMut(&Candidate, &mut Rng) -> f64,
) -> Decision {
    let mut best = Best::default();
    let draws = rng.next_u64();
    let may_choose = |candidate: &&Candidate| view.snapshot.may_choose(candidate.index);
    let allowed = candidates.as_slice().iter().filter(may_choose);
    for (number, candidate) in allowed.enumerate() {
        let tie = match candidate.origin {
            Origin::Sample => draws,
            _ => rng.next_u64(),
        };
        best.offer(Weighed {
            candidate,
            cost_s: cost_s(candidate, rng),
            tie: (tie, number),
        });
    }
    let in_order = best.list.iter().flatten();
    let choices = in_order.map(|weighed| weighed.candidate.index).collect();
    let [first, ..] = best.list;
    let first = first.map_or_else(Candidate::default, |weighed| *weighed.candidate);
    let count = candidates.as_slice().len();
    Decision {
        choices,
        reason: reason(&first, candidates, view.snapshot),
        wait_s: wait_s(first.index, demand, view.snapshot, view.inflight),
        candidates: u32::try_from(count).unwrap_or(u32::MAX),
        left_out: 0,
        booking: Booking::default(),
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

/// Returns the predicted seconds until a request that goes to `index` starts its prefill. `None`:
/// the table does not say this endpoint's wait.
pub(crate) fn wait_s(
    index: u32,
    demand: &Demand,
    snapshot: &Snapshot,
    inflight: &Ledger,
) -> Option<f64> {
    let row = snapshot.row(index)?;
    row.wait_known
        .then(|| cost::start_s(row, demand, inflight, index))
}
