//! One decider: the newest snapshot and its own work in flight.

use alloc::rc::Rc;

use crate::candidates::{Candidate, Candidates, Origin};
use crate::cost::{self, Demand};
use crate::decision::Choices;
use crate::inflight::{InFlight, OwnWork, Pending, Ticket};
use crate::snapshot::Row;
use crate::{Config, Decision, EndpointId, Millis, Reason, Request, Rng, Snapshot, fallback};

/// One decider. Methods: [`choose`](Self::choose) decides and changes nothing; `on_*` say that something happened.
#[derive(Debug)]
pub struct Picker {
    config: Config,
    snapshot: Option<Rc<Snapshot>>,
    inflight: InFlight,
}

impl Picker {
    /// A decider without a table.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            snapshot: None,
            inflight: InFlight::default(),
        }
    }

    /// A new table came. Requests in flight are carried over by endpoint identity, also those on endpoints that the
    /// table no longer has. O(endpoints).
    pub fn on_table(&mut self, snapshot: Rc<Snapshot>) {
        self.inflight.on_table(self.snapshot.as_deref(), &snapshot);
        self.snapshot = Some(snapshot);
    }

    /// The newest table.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Rc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// Chooses where `request` should go. Total: it cannot fail, only have no opinion. Takes a bounded number of steps
    /// that does not grow with the pool (but for the logarithm in drawing), and allocates nothing.
    pub fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision {
        let Some(snapshot) = self.snapshot.as_deref() else {
            return Decision::no_opinion(Reason::NoTable);
        };
        if snapshot.choosable().is_empty() {
            return Decision::no_opinion(Reason::NoEndpoints);
        }
        let fresh = snapshot.age_ms(now) <= self.config.table_max_age_ms;
        let mut decision = if fresh {
            cheapest(request, snapshot, &self.inflight, rng)
        } else {
            fallback::choose(request, snapshot, &self.inflight, rng)
        };
        fill(&mut decision.choices, snapshot, rng);
        decision
    }

    /// The request was sent to `endpoint` (one of the choices, or whatever the proxy chose by itself).
    pub fn on_sent(&mut self, now: Millis, endpoint: EndpointId, request: &Request) -> Ticket {
        let snapshot = self.snapshot.as_deref();
        let (pending, work_us) = snapshot
            .map(|snapshot| work(snapshot, endpoint, request))
            .unwrap_or_default();
        self.inflight
            .on_sent(snapshot, now, endpoint, pending, work_us)
    }

    /// The first byte of the answer's body came. Calling it again does nothing.
    pub fn on_first_byte(&mut self, now: Millis, ticket: &mut Ticket) {
        let _ = now;
        self.inflight
            .on_first_byte(self.snapshot.as_deref(), ticket);
    }

    /// The request ended, in whatever way.
    pub fn on_done(&mut self, now: Millis, ticket: Ticket) {
        let _ = now;
        self.inflight.on_done(self.snapshot.as_deref(), ticket);
    }

    /// This decider's requests in flight, per endpoint that has any; for reports.
    pub fn own_work(&self) -> impl Iterator<Item = OwnWork> + '_ {
        self.inflight.work(self.snapshot.as_deref())
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

/// What `request` adds to `endpoint`: the prefill that its first byte will end, and microseconds of work in all.
fn work(snapshot: &Snapshot, endpoint: EndpointId, request: &Request) -> (Pending, u64) {
    let demand = Demand::new(request, snapshot.pool());
    let Some((index, row)) = snapshot
        .index_of(endpoint)
        .and_then(|index| Some((index, snapshot.row(index)?)))
    else {
        return (Pending::default(), 0);
    };
    let hit_tokens = Candidates::affine(request, snapshot)
        .find(index)
        .map_or(0, |candidate| candidate.hit_tokens);
    let uncached = demand.uncached_tokens(hit_tokens);
    // `as` from float saturates, and neither value is negative.
    let pending = Pending {
        tokens: uncached as u64,
        prefill_us: match request.streams {
            Some(true) => (uncached * row.prefill_s_per_token * 1e6) as u64,
            // The first byte of a whole answer comes when decoding is over: it would keep the prefill pending for too long.
            _ => 0,
        },
    };
    (pending, (cost::work_s(row, uncached) * 1e6) as u64)
}

/// Fills the list up with endpoints drawn by speed, so that a retry has somewhere to go.
fn fill(choices: &mut Choices, snapshot: &Snapshot, rng: &mut Rng) {
    while !choices.is_full() {
        let mut taken = *choices;
        let Some(index) = snapshot.sample(rng, taken.as_mut_slice()) else {
            return;
        };
        choices.push(index);
    }
}
