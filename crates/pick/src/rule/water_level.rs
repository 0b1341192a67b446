//! The rule that ships: candidates from under the water level, and the cheapest of them.

use crate::config::{LARGE_DELAY_S, LEAST_POURED, WORTH_TELLING};
use crate::own::health::Slow;
use crate::own::new_part::NewPart;
use crate::own::shared_depth::SharedDepths;
use crate::own::traffic::Traffic;
use crate::own::whereabouts::Whereabouts;
use crate::rule::candidates::{self, Candidate, Candidates, Origin};
use crate::rule::cost::{self, Demand};
use crate::rule::noise::gumbel;
use crate::rule::policy::{Policy, View};
use crate::rule::price::{self, Busy};
use crate::rule::{fallback, weighing};
use crate::table::row;
use crate::table::row::Row;
use crate::{Booking, Config, Conversation, Decision, EndpointId, Millis, Request, Rng, Snapshot};

/// Chooses the cheapest of a few endpoints, in seconds of predicted work.
///
/// With an old table the rule uses the picker's own requests alone (`fallback`).
#[derive(Debug)]
pub struct WaterLevel {
    config: Config,
    own: Traffic,
    whereabouts: Whereabouts,
    depths: SharedDepths,
    new_part: NewPart,
}

impl WaterLevel {
    /// Creates the rule with its settings.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            own: Traffic::default(),
            whereabouts: Whereabouts::of_conversations(),
            depths: SharedDepths::default(),
            new_part: NewPart::default(),
        }
    }

    /// Returns the endpoint where the request's conversation is.
    ///
    /// The first of these that may be chosen:
    ///
    /// 1. where its newest turn went;
    /// 2. its key's place before members changed, for a conversation with a history;
    /// 3. its key's place.
    ///
    /// `None`: the request has no conversation, or its place may not be chosen.
    fn home(&self, now: Millis, snapshot: &Snapshot, request: &Request) -> Option<u32> {
        let Conversation {
            key,
            history_tokens,
            ..
        } = request.conversation?;
        let seen = self.whereabouts.find(now, key);
        let seen = seen.and_then(|id| snapshot.index_of(id));
        let former = || match history_tokens {
            0 => None,
            _ => snapshot.former_place(now, key),
        };
        seen.filter(|index| snapshot.may_choose(*index))
            .or_else(former)
            .or_else(|| snapshot.place(key))
            .filter(|index| snapshot.may_choose(*index))
    }

    /// Returns the place where every picker will look for the conversation's next turn.
    ///
    /// `None`: there is no place, or some pickers may still look at the place from before members
    /// changed.
    fn known_place(now: Millis, snapshot: &Snapshot, key: u64) -> Option<EndpointId> {
        let place = snapshot.place(key)?;
        let former = snapshot.former_place(now, key);
        let lasts = former.is_none_or(|former| former == place);
        snapshot
            .endpoint(place)
            .filter(|_| lasts)
            .map(|endpoint| endpoint.id)
    }
}

impl Policy for WaterLevel {
    fn take(&mut self, view: &View<'_>, request: &Request) -> Booking {
        let (now, snapshot) = (view.now, view.snapshot);
        self.depths
            .on_request(request, own_share(snapshot, &self.own));
        self.new_part.on_request(request);
        let is_told = |key| self.whereabouts.find(now, key).is_some();
        let cached_share = snapshot.pool().cached_share;
        let request = self.depths.judge(request, cached_share, is_told);
        let request = self.new_part.judge(request);
        self.own.on_request(now, &request);
        let home = self.home(now, snapshot, &request);
        let home = home.and_then(|index| Some(snapshot.endpoint(index)?.id));
        Booking {
            request,
            home,
            tries_out: false,
        }
    }

    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, booking: &Booking) -> Decision {
        let request = &booking.request;
        let demand = Demand::new(request, view.snapshot.pool());
        self.own
            .on_prompt(demand.prompt_tokens, demand.shared_tokens);
        if view.snapshot.age_ms(view.now) > self.config.table_max_age_ms {
            return fallback::choose(request, view.snapshot, view.inflight, rng);
        }
        let home = booking.home.and_then(|id| view.snapshot.index_of(id));
        let weigh = Weigh {
            view,
            demand,
            loss_price: loss_price(view.snapshot, &self.own),
            unseen: Unseen::new(view, &self.own),
            history_tokens: request
                .conversation
                .map_or(0, |conversation| conversation.history_tokens),
            is_named: request.conversation.is_some_and(|conversation| {
                conversation.is_named && conversation.history_tokens == 0
            }),
            later_share: self.own.later_share(),
        };
        let mut candidates = Candidates::affine(request, home, view.snapshot, rng);
        candidates.add_samples(weigh.unseen.under, view.snapshot, rng);
        if !view.slow.is_empty() {
            // Perhaps only endpoints in slow start are under the level, and this decision skips all
            // of them.
            candidates.add_any(view.snapshot, rng);
        }
        weighing::cheapest(&candidates, view, rng, &weigh.demand, |candidate, rng| {
            weigh.cost_s(candidate, rng)
        })
    }

    fn expected_hit(&self, snapshot: &Snapshot, booking: &Booking, index: u32) -> u32 {
        let home = booking.home.and_then(|id| snapshot.index_of(id));
        candidates::expected_hit(&booking.request, home, snapshot, index)
    }

    fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.whereabouts.on_told(now, key, endpoint);
    }

    fn on_sent(
        &mut self,
        now: Millis,
        snapshot: &Snapshot,
        endpoint: EndpointId,
        booking: &Booking,
        is_large: bool,
    ) {
        self.own.on_sent(is_large);
        let Some(conversation) = booking.request.conversation else {
            return;
        };
        let continues = conversation.history_tokens > 0
            || conversation.is_named
            || self.own.later_share() >= WORTH_TELLING;
        let key = conversation.key;
        let place = Self::known_place(now, snapshot, key);
        self.depths.on_placed(place == Some(endpoint));
        if continues && self.whereabouts.is_worth_keeping(now, key, endpoint, place) {
            self.whereabouts.on_moved(now, key, endpoint);
        }
    }

    fn take_moved(&mut self, each: &mut dyn FnMut(u64, EndpointId)) {
        let untold = self.whereabouts.take_untold();
        untold.for_each(|(key, endpoint)| each(key, endpoint));
    }
}

/// What the other pickers are assumed to have sent that the table does not show.
#[derive(Debug, Clone, Copy)]
struct Unseen {
    /// Share of the pool's traffic that other pickers get, 0 to 1.
    others: f64,
    /// The water level in seconds: shorter waits have been filled up to it since the table.
    surface_s: f64,
    /// How many endpoints candidates are drawn from. They have the shortest waits.
    under: usize,
    /// Requests of the other pickers that have arrived since the table.
    requests: f64,
}

/// Returns the part of the pool's requests that this picker gets, 0 to 1. Without an arrival rate
/// in the table all requests count as this picker's own.
fn own_share(snapshot: &Snapshot, own: &Traffic) -> f64 {
    match snapshot.pool().arrival_rate.map_or(0.0, f64::from) {
        pool_per_s if pool_per_s > 0.0 => (own.per_s() / pool_per_s).min(1.0),
        _ => 1.0,
    }
}

/// Returns the price of prefill that is cached elsewhere, for the present state of the pool.
fn loss_price(snapshot: &Snapshot, own: &Traffic) -> f64 {
    let pool = snapshot.pool();
    let found = row::cost(pool.cached_share).unwrap_or(0.0).min(1.0);
    price::of_loss(&Busy {
        requests_per_s: row::cost(pool.arrival_rate).unwrap_or(0.0),
        prompt_tokens: row::tokens(pool.prompt_tokens).unwrap_or(0.0),
        shared_share: own.shared_share().max(found),
        prefill_tokens_per_s: snapshot.prefill_tokens_per_s(),
        least_load_s: snapshot.level().surface_s(0.0),
    })
}

impl Unseen {
    fn new(view: &View<'_>, own: &Traffic) -> Self {
        let pool_per_s = view.snapshot.pool().arrival_rate.map_or(0.0, f64::from);
        let own_share = own_share(view.snapshot, own);
        let age_s = view.snapshot.mean_age_s(view.now);
        // Large placements are reported at once. If none was reported, there was none before the
        // last `LARGE_DELAY_S`.
        let large = match view.snapshot.pool().reported {
            true => own.large_share(),
            false => 0.0,
        };
        let arrived =
            pool_per_s.max(0.0) * (age_s * (1.0 - large) + age_s.min(LARGE_DELAY_S) * large);
        let level = view.snapshot.level();
        let surface_s = level.surface_s(arrived);
        // Own work comes on top of the table's waits. Endpoints with waits up to that height may be
        // cheaper.
        let own_requests = view.inflight.ahead_s() * level.requests_per_s();
        let under = level.under(arrived + own_requests + LEAST_POURED);
        Self {
            others: 1.0 - own_share,
            surface_s,
            under,
            requests: arrived * (1.0 - own_share),
        }
    }
}

/// Everything that the costs of one decision are computed from.
#[derive(Debug)]
struct Weigh<'a> {
    view: &'a View<'a>,
    demand: Demand,
    unseen: Unseen,
    /// The price of prefill that is cached elsewhere.
    loss_price: f64,
    /// Prompt tokens that are cached at the conversation's home.
    history_tokens: u32,
    /// The client names the conversation, and the prompt does not show how much of it was there
    /// before.
    is_named: bool,
    /// Share of the requests that continue a conversation: the chance that another turn follows
    /// this one.
    later_share: f64,
}

impl Weigh<'_> {
    fn cost_s(&self, candidate: &Candidate, rng: &mut Rng) -> f64 {
        let snapshot = self.view.snapshot;
        let Some(row) = snapshot.row(candidate.index) else {
            return f64::INFINITY;
        };
        let share = Slow::share(self.view.slow, self.view.now, candidate.index);
        if share < 1.0 && rng.unit() >= share {
            return f64::INFINITY;
        }
        let (unseen, demand) = (&self.unseen, &self.demand);
        let hit_tokens = (f64::from(candidate.hit_tokens) * row.found_share) as u32;
        let work_s = cost::work_s(row, snapshot.mean_uncached_tokens());
        let noise_s = match cost::noise_s(work_s, unseen.requests, unseen.others) {
            width_s if width_s > 0.0 => width_s * gumbel(rng),
            _ => 0.0,
        };
        let stay_s = match candidate.origin {
            Origin::Conversation => 0.0,
            _ => self.stay_s(row),
        };
        cost::start_s(row, demand, self.view.inflight, candidate.index)
            + row.crowd_s
            + cost::level_s(row, unseen.surface_s, unseen.others)
            + cost::miss_s(row, demand, hit_tokens)
            + cost::loss_s(row, demand, hit_tokens, self.loss_price)
            + cost::rank_penalty_s(row, candidate.penalty_tokens)
            + self.adapter_s(candidate.index, candidate.adapter_rank)
            + stay_s
            - noise_s
    }

    /// Seconds that a turn away from home costs, apart from what its own cache miss costs.
    fn stay_s(&self, row: &Row) -> f64 {
        let later_s = match self.view.snapshot.pool().reported {
            true => cost::tell_s(self.later_share),
            false => cost::stay_s(row, &self.demand, self.history_tokens, self.later_share),
        };
        match self.is_named {
            true => later_s + cost::named_s(row, &self.demand),
            false => later_s,
        }
    }

    /// Looks at the endpoint's signals only where the request asks for an adapter.
    fn adapter_s(&self, index: u32, rank: Option<u32>) -> f64 {
        if self.demand.adapter.is_none() {
            return 0.0;
        }
        let endpoint = self.view.snapshot.endpoint(index);
        endpoint.map_or(f64::INFINITY, |endpoint| {
            cost::adapter_s(endpoint, &self.demand, rank)
        })
    }
}
