//! The rule that ships.

use crate::candidates::{self, Candidate, Candidates, Origin};
use crate::cost::{self, Demand};
use crate::decision::Choices;
use crate::own_traffic::OwnTraffic;
use crate::policy::{Policy, View};
use crate::whereabouts::Whereabouts;
use crate::{Config, Decision, EndpointId, Millis, Reason, Request, Rng, Snapshot, fallback};

/// Share of requests that continue a conversation from which first turns are worth remembering.
const WORTH_TELLING: f64 = 0.05;

/// Water-level candidates: the cheapest of a few endpoints in seconds of predicted work, with an old table the
/// [fallback](crate::fallback).
#[derive(Debug)]
pub struct WaterLevel {
    config: Config,
    own: OwnTraffic,
    whereabouts: Whereabouts,
}

impl WaterLevel {
    /// The rule with its settings.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            own: OwnTraffic::default(),
            whereabouts: Whereabouts::default(),
        }
    }

    /// Where the request's conversation is: where its newest turn went, else its place.
    fn home(&self, now: Millis, snapshot: &Snapshot, request: &Request) -> Option<u32> {
        let key = request.conversation?.key;
        let seen = self.whereabouts.find(now, key);
        seen.and_then(|id| snapshot.index_of(id))
            .or_else(|| snapshot.rank(key, 0))
    }
}

impl Policy for WaterLevel {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, request: &Request) -> Decision {
        self.own.on_request(view.now, request);
        if view.snapshot.age_ms(view.now) > self.config.table_max_age_ms {
            return fallback::choose(request, view.snapshot, view.inflight, rng);
        }
        let home = self.home(view.now, view.snapshot, request);
        let weigh = Weigh {
            view,
            demand: Demand::new(request, view.snapshot.pool()),
            unseen: Unseen::new(view, &self.own),
            // Who is told of moves need not avoid them.
            return_share: match view.snapshot.pool().tells_moved {
                true => 0.0,
                false => self.own.later_share(),
            },
            tune: self.config.tune,
        };
        let candidates = Candidates::affine(request, home, view.snapshot, rng);
        weigh.cheapest(candidates, rng)
    }

    fn expected_hit(&self, now: Millis, snapshot: &Snapshot, request: &Request, index: u32) -> u32 {
        let home = self.home(now, snapshot, request);
        candidates::expected_hit(request, home, snapshot, index)
    }

    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.whereabouts.on_told(now, key, endpoint);
    }

    fn on_sent(&mut self, now: Millis, snapshot: &Snapshot, endpoint: EndpointId, request: &Request) {
        let Some(conversation) = request.conversation else {
            return;
        };
        let continues =
            conversation.history_tokens > 0 || self.own.later_share() >= WORTH_TELLING;
        let place = snapshot.rank(conversation.key, 0);
        let place = place.and_then(|index| Some(snapshot.endpoint(index)?.id));
        let key = conversation.key;
        if continues && self.whereabouts.is_news(now, key, endpoint, place) {
            self.whereabouts.on_moved(now, key, endpoint);
        }
    }

    fn take_moved(&mut self, each: &mut dyn FnMut(u64, EndpointId)) {
        let untold = self.whereabouts.take_untold();
        untold.for_each(|(key, endpoint)| each(key, endpoint));
    }
}

/// What the others are assumed to have sent that the table does not show.
#[derive(Debug, Clone, Copy)]
struct Unseen {
    /// The share of the pool's traffic that is not this decider's, 0 to 1.
    others: f64,
    /// Waits below this have been filled up to it by now, in seconds.
    surface_s: f64,
    /// How many endpoints lie below.
    under: usize,
    /// Requests of the others.
    requests: f64,
}

impl Unseen {
    /// Without an arrival rate in the table everything that arrives is taken to be one's own.
    fn new(view: &View<'_>, own: &OwnTraffic) -> Self {
        let pool_per_s = view.snapshot.pool().arrival_rate.map_or(0.0, f64::from);
        let own_share = match pool_per_s > 0.0 {
            true => (own.per_s() / pool_per_s).min(1.0),
            false => 1.0,
        };
        let arrived = pool_per_s.max(0.0) * view.snapshot.mean_age_s(view.now);
        // At least one, so that more than the least busy endpoint is looked at.
        let (surface_s, under) = view.snapshot.level().surface(arrived.max(1.0));
        Self {
            others: 1.0 - own_share,
            surface_s,
            under,
            requests: arrived * (1.0 - own_share),
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

/// One decision.
#[derive(Debug)]
struct Weigh<'a> {
    view: &'a View<'a>,
    demand: Demand,
    unseen: Unseen,
    /// Share of the requests that will be followed by another of their conversation, which looks for them at home.
    return_share: f64,
    tune: [f64; 8],
}

impl Weigh<'_> {
    /// The cheapest of a few candidates (3.3); the others follow in the order of their costs.
    fn cheapest(&self, mut candidates: Candidates, rng: &mut Rng) -> Decision {
        candidates.add_samples(self.unseen.under, self.view.snapshot, rng);
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
                cost_s: self.cost_s(candidate, rng),
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
            reason: reason(&best, &candidates, self.view.snapshot),
            wait_s: wait_s(best.index, self.view),
            candidates: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    fn cost_s(&self, candidate: &Candidate, rng: &mut Rng) -> f64 {
        let snapshot = self.view.snapshot;
        let (Some(row), Some(endpoint)) = (
            snapshot.row(candidate.index),
            snapshot.endpoint(candidate.index),
        ) else {
            return f64::INFINITY;
        };
        let unseen = &self.unseen;
        let work_s = cost::work_s(row, snapshot.mean_uncached_tokens());
        let scale = self.tune[0] * (unseen.requests / (unseen.requests + self.tune[1]));
        let moved_s = match candidate.origin {
            Origin::Conversation => 0.0,
            _ => self.tune[2] * self.return_share * self.demand.uncached_tokens(candidate.hit_tokens) * row.prefill_s_per_token,
        };
        cost::start_s(row, self.view.inflight, candidate.index)
            + self.tune[3] * unseen.others * (unseen.surface_s - row.wait_s).max(0.0)
            + cost::miss_s(row, &self.demand, candidate.hit_tokens)
            + cost::rank_penalty_s(row, candidate.penalty_tokens)
            + cost::adapter_s(endpoint, &self.demand, candidate.adapter_rank)
            + moved_s
            - scale * unseen.others * work_s * gumbel(rng)
    }
}

/// A draw from the standard Gumbel distribution: the cheapest of costs with such noise is a choice by weights.
fn gumbel(rng: &mut Rng) -> f64 {
    // `unit` is below 1 and may be 0: the bounds keep both logarithms finite.
    let unit = rng.unit().max(1e-12);
    -libm::log((-libm::log(unit)).max(1e-12))
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

fn wait_s(index: u32, view: &View<'_>) -> Option<f64> {
    let row = view.snapshot.row(index)?;
    row.wait_known
        .then(|| cost::start_s(row, view.inflight, index))
}
