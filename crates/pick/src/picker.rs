//! One picker: the newest snapshot, its own work in flight, and the rule that chooses.

use alloc::rc::Rc;

use crate::config::LARGE_S;
use crate::decision::Choices;
use crate::own::health::Health;
use crate::own::ledger::{Ledger, OwnWork, Sends, Sent};
use crate::own::pending::Pending;
use crate::own::ticket::Ticket;
use crate::own::whereabouts::Whereabouts;
use crate::rule::cost::{self, Demand};
use crate::rule::policy::{Policy, View};
use crate::rule::weighing;
use crate::{
    Booking, Config, Decision, EndpointId, Millis, Outcome, Reason, Request, Rng, Snapshot,
    WaterLevel,
};

/// Decides for one pool in one VM, and remembers its own requests.
///
/// [`choose`](Self::choose) decides and does not book the request. The `on_*` methods record what
/// happened.
///
/// The rule is [`WaterLevel`] unless another is named, for comparison.
#[derive(Debug)]
pub struct Picker<P = WaterLevel> {
    policy: P,
    snapshot: Option<Rc<Snapshot>>,
    inflight: Ledger,
    health: Health,
    /// Which endpoints hold something for their clients.
    held: Whereabouts,
    /// The endpoint that the next request tries out.
    probe: Option<EndpointId>,
    /// A table older than this predicts nothing, in milliseconds.
    table_max_age_ms: u64,
}

impl Picker {
    /// Creates a picker without a table.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let health = Health::new(config.max_ejection_ms);
        Self {
            health,
            table_max_age_ms: config.table_max_age_ms,
            ..Self::with_policy(WaterLevel::new(config))
        }
    }
}

impl<P: Policy> Picker<P> {
    /// Creates a picker with another rule and without a table. The picker leaves out no endpoint.
    #[must_use]
    pub fn with_policy(policy: P) -> Self {
        Self {
            policy,
            snapshot: None,
            inflight: Ledger::default(),
            health: Health::default(),
            held: Whereabouts::of_state(),
            probe: None,
            table_max_age_ms: Config::default().table_max_age_ms,
        }
    }

    /// Takes a new table. O(endpoints).
    ///
    /// Requests in flight are carried over by the identity of their endpoint. That includes
    /// endpoints that the table no longer lists.
    ///
    /// - `reported`: what [`sends`](Self::sends) returned when this picker wrote the newest report
    ///   that the table has taken in. With this mark nothing counts twice, and nothing is missed.
    ///   Absent: the age of the rows says what the table has seen.
    pub fn on_table(&mut self, snapshot: Rc<Snapshot>, reported: Option<Sends>) {
        self.inflight
            .on_table(self.snapshot.as_deref(), &snapshot, reported);
        self.snapshot = Some(snapshot);
        self.health.on_table();
    }

    /// Makes the next request try out `endpoint`, because the table asks this picker to do so.
    ///
    /// The next decision lists `endpoint` first and the rule's choices after it. Returns whether
    /// the table has this endpoint.
    pub fn probe_next(&mut self, endpoint: EndpointId) -> bool {
        let index = |snapshot: &Rc<Snapshot>| snapshot.index_of(endpoint);
        self.probe = self.snapshot.as_ref().and_then(index).map(|_| endpoint);
        self.probe.is_some()
    }

    /// Returns the snapshot of the newest table.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Rc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// Chooses where `request` should go. Never fails: without an endpoint to choose the decision
    /// is empty.
    ///
    /// With [`WaterLevel`] a decision allocates nothing, and the number of steps does not grow with
    /// the pool, except for the logarithm in drawing. The exception is the first decision after the
    /// set of left-out endpoints has changed: that decision indexes the other endpoints.
    pub fn choose(&mut self, now: Millis, rng: &mut Rng, request: &Request) -> Decision {
        let undecided = |reason| Decision {
            booking: (*request).into(),
            ..Decision::no_opinion(reason)
        };
        let Some(snapshot) = self.snapshot.as_deref() else {
            return undecided(Reason::NoTable);
        };
        let held = request.held.and_then(|key| self.held.find(now, key));
        let held = held.and_then(|id| snapshot.index_of(id));
        if snapshot.choosable().is_empty() {
            return undecided(Reason::NoEndpoints).led_by(held, Reason::Held);
        }
        self.health.refresh(now, snapshot);
        let snapshot = self.health.table().unwrap_or(snapshot);
        let view = View {
            now,
            snapshot,
            inflight: &self.inflight,
            slow: self.health.slow(),
        };
        let booking = self.policy.take(&view, request);
        let mut decision = self.policy.choose(&view, rng, &booking);
        decision.booking = booking;
        decision.left_out = u32::try_from(snapshot.left_out()).unwrap_or(u32::MAX);
        fill(&mut decision.choices, snapshot, rng);
        decision.avoid(|index| {
            let row = snapshot.endpoint(index);
            row.is_some_and(|row| self.health.refuses(now, request.client, row.id))
        });
        if held.is_some() {
            return decision.led_by(held, Reason::Held);
        }
        let probed = self.probe.take().and_then(|id| snapshot.index_of(id));
        let probed = probed.filter(|index| snapshot.may_probe(*index));
        decision.booking.tries_out = probed.is_some();
        decision.led_by(probed, Reason::Probe)
    }

    /// Records that the request was sent to `endpoint`.
    ///
    /// - `endpoint`: one of the choices, or whatever endpoint the proxy chose by itself.
    /// - `booking`: from the [`Decision`]. For a request without a decision, `request.into()`.
    pub fn on_sent(&mut self, now: Millis, endpoint: EndpointId, booking: &Booking) -> Ticket {
        let snapshot = self.snapshot.as_deref();
        // Where keys belong while endpoints are left out.
        let usable = self.health.table().or(snapshot);
        let view = usable.map(|snapshot| View {
            now,
            snapshot,
            inflight: &self.inflight,
            slow: &[],
        });
        let mut work = view
            .and_then(|view| work(&self.policy, &view, endpoint, booking))
            .unwrap_or_default();
        if usable.is_some_and(|snapshot| snapshot.age_ms(now) > self.table_max_age_ms) {
            work.predicted_s = None;
        }
        if let Some(snapshot) = snapshot {
            self.policy
                .on_sent(now, snapshot, endpoint, booking, work.is_large);
        }
        let mut ticket = self.inflight.on_sent(snapshot, now, endpoint, work);
        ticket.client = booking.request.client;
        ticket.tries_out = booking.tries_out;
        self.health.on_sent(now, &mut ticket);
        ticket
    }

    /// Records that the prompt of a sent request is longer than was known.
    ///
    /// Nothing changes once the first byte has come. Returns whether the placement should be
    /// reported at once, because the added tokens alone make it large.
    ///
    /// - `booking`: the booking that the request was sent with.
    /// - `tokens`: how many tokens are new. None of them is expected to be cached.
    pub fn on_grown(
        &mut self,
        now: Millis,
        ticket: &mut Ticket,
        booking: &Booking,
        tokens: u32,
    ) -> bool {
        let snapshot = self.snapshot.as_deref();
        let prefill_s = self.prefill_s_per_token(ticket.endpoint()) * f64::from(tokens);
        // `as` from float saturates, and no prefill is negative.
        let work_us = (prefill_s * 1e6) as u64;
        let is_alone = snapshot.is_none_or(|snapshot| snapshot.pool().alone);
        let more = Sent {
            pending: Pending {
                tokens: tokens.into(),
                prefill_us: pending_us(&booking.request, work_us),
            },
            work_us,
            prompt_tokens: tokens,
            is_large: !is_alone && prefill_s >= LARGE_S,
            predicted_s: Some(prefill_s as f32),
        };
        self.inflight.on_grown(snapshot, now, ticket, more) && more.is_large
    }

    /// Records that the answer of a sent request is streamed: its first byte will end its prefill.
    ///
    /// The prefill is pending until that byte. Nothing changes where streaming was known already,
    /// or where the first byte has come.
    ///
    /// - `booking`: the booking that the request was sent with.
    pub fn on_streamed(&mut self, ticket: &mut Ticket, booking: &mut Booking) {
        if booking.request.streams.replace(true) == Some(true) {
            return;
        }
        let prefill_s =
            self.prefill_s_per_token(ticket.endpoint()) * ticket.uncached_tokens() as f64;
        // `as` from float saturates, and no prefill is negative.
        let prefill_us = (prefill_s * 1e6) as u64;
        self.inflight
            .on_streamed(self.snapshot.as_deref(), ticket, prefill_us);
    }

    /// Returns the seconds of prefill per prompt token, or 0 if the table does not have the
    /// endpoint.
    fn prefill_s_per_token(&self, endpoint: EndpointId) -> f64 {
        let snapshot = self.snapshot.as_deref();
        let row = snapshot.and_then(|snapshot| snapshot.row(snapshot.index_of(endpoint)?));
        row.map_or(0.0, |row| row.prefill_s_per_token)
    }

    /// Records that the first byte of the answer's body came. A second call does nothing.
    ///
    /// If the answer is an error, call [`on_outcome`](Self::on_outcome) first.
    pub fn on_first_byte(&mut self, now: Millis, ticket: &mut Ticket) {
        if core::mem::take(&mut ticket.probe) {
            self.health.on_recovered(now, ticket.endpoint());
        }
        self.inflight
            .on_first_byte(self.snapshot.as_deref(), ticket);
    }

    /// Records that the request ended, in whatever way.
    pub fn on_done(&mut self, ticket: Ticket) {
        if ticket.probe {
            self.health.on_undecided(ticket.endpoint());
        }
        self.inflight.on_done(self.snapshot.as_deref(), ticket);
    }

    /// Records how the request went: at its end, or as soon as it is clear that it failed.
    ///
    /// A request without an outcome says nothing about its endpoint. Returns whether the endpoint
    /// is left out because of this outcome.
    pub fn on_outcome(&mut self, now: Millis, ticket: &mut Ticket, outcome: Outcome) -> bool {
        let (endpoint, probe) = (ticket.endpoint(), core::mem::take(&mut ticket.probe));
        match outcome {
            Outcome::Ok => {
                if probe {
                    self.health.on_recovered(now, endpoint);
                }
                self.health.on_ok(now, ticket);
            }
            Outcome::Rejected if probe => self.health.on_undecided(endpoint),
            Outcome::Rejected => {}
            _ => return self.health.on_failure(now, ticket, outcome, probe),
        }
        false
    }

    /// Returns how much was sent so far. The caller keeps this mark with each report.
    #[must_use]
    pub fn sends(&self) -> Sends {
        self.inflight.sends()
    }

    /// Records that another picker sent a turn of the conversation `key` to `endpoint`. The table's
    /// list says so. A repeated call does no harm.
    pub fn on_told(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.policy.on_told(now, key, endpoint);
    }

    /// Records that `endpoint` holds something under the name that `key` stands for: a response, a
    /// conversation or a file.
    ///
    /// Requests with [`Request::held`] go there whatever its load and state, as long as the table
    /// has the endpoint. No other endpoint can serve them.
    pub fn on_held(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        if self.held.is_worth_keeping(now, key, endpoint, None) {
            self.held.on_moved(now, key, endpoint);
        }
    }

    /// Records the same as [`on_held`](Self::on_held), when another picker reported it.
    pub fn on_told_held(&mut self, now: Millis, key: u64, endpoint: EndpointId) {
        self.held.on_told(now, key, endpoint);
    }

    /// Returns whether this picker knows which endpoint holds what `key` stands for.
    #[must_use]
    pub fn knows_held(&self, now: Millis, key: u64) -> bool {
        self.held.find(now, key).is_some()
    }

    /// Reports again what this picker itself has seen endpoints hold. For a new aggregator, which
    /// knows nothing of it.
    pub fn tell_held_again(&mut self) {
        self.held.tell_again();
    }

    /// Calls `each` with what endpoints hold and no report has listed yet, each once. For reports.
    pub fn take_held(&mut self, mut each: impl FnMut(u64, EndpointId)) {
        let untold = self.held.take_untold();
        untold.for_each(|(key, endpoint)| each(key, endpoint));
    }

    /// Calls `each` with each conversation whose turn went elsewhere than its key says, and with
    /// the endpoint. Each turn is handed over once. For reports.
    pub fn take_moved(&mut self, mut each: impl FnMut(u64, EndpointId)) {
        self.policy.take_moved(&mut each);
    }

    /// Returns the predicted seconds until a request that goes to `endpoint` starts its prefill, as
    /// [`Decision::wait_s`]. For comparison with what the proxy does by itself.
    #[must_use]
    pub fn wait_s(&self, endpoint: EndpointId) -> Option<f64> {
        let snapshot = self.snapshot.as_deref()?;
        let demand = Demand::new(&Request::default(), snapshot.pool());
        weighing::wait_s(
            snapshot.index_of(endpoint)?,
            &demand,
            snapshot,
            &self.inflight,
        )
    }

    /// Returns this picker's requests in flight, for each endpoint that has any. For tests: once
    /// all requests have ended, nothing may be left.
    pub fn own_work(&self) -> impl Iterator<Item = OwnWork> + '_ {
        self.inflight.work(self.snapshot.as_deref())
    }
}

/// Returns what a request adds to `endpoint`, or `None` if the table does not have it.
fn work(
    policy: &impl Policy,
    view: &View<'_>,
    endpoint: EndpointId,
    booking: &Booking,
) -> Option<Sent> {
    let (snapshot, request) = (view.snapshot, &booking.request);
    let demand = Demand::new(request, snapshot.pool());
    let index = snapshot.index_of(endpoint)?;
    let row = snapshot.row(index)?;
    let hit = policy.expected_hit(snapshot, booking, index);
    let uncached = demand.uncached_tokens((f64::from(hit) * row.found_share) as u32);
    // `as` from float saturates, and neither value is negative.
    let pending = Pending {
        tokens: uncached as u64,
        prefill_us: pending_us(request, (uncached * row.prefill_s_per_token * 1e6) as u64),
    };
    Some(Sent {
        prompt_tokens: demand.prompt_tokens as u32,
        pending,
        predicted_s: predicted_s(view, index, &demand, uncached),
        work_us: (cost::work_s(row, uncached) * 1e6) as u64,
        is_large: !snapshot.pool().alone && uncached * row.prefill_s_per_token >= LARGE_S,
    })
}

/// Returns the part of the prefill that the first byte of the answer will end, in microseconds.
fn pending_us(request: &Request, prefill_us: u64) -> u64 {
    match request.streams {
        Some(true) => prefill_us,
        // The first byte of a whole answer comes when decoding is over. The prefill would be
        // pending for too long.
        _ => 0,
    }
}

/// Computes [`Ticket::predicted_s`], whatever the table's age.
fn predicted_s(view: &View<'_>, index: u32, demand: &Demand, uncached_tokens: f64) -> Option<f32> {
    let endpoint = view.snapshot.endpoint(index)?;
    endpoint.prefill_tokens_per_s?;
    let wait_s = weighing::wait_s(index, demand, view.snapshot, view.inflight)?;
    let prefill_s = uncached_tokens * view.snapshot.row(index)?.prefill_s_per_token;
    Some((wait_s + prefill_s) as f32)
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
