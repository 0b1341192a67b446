//! Sessions, the requests that they send, and what becomes of these.

use trimtab_engine::{BLOCK_TOKENS, Event as EngineEvent, Request as EngineRequest};
use trimtab_pick::Request;
use trimtab_workload::{Part, Role, Turn, block_hashes};

use super::{Event, Job, Live, World};
use crate::clock::{nanos, seconds};
use crate::measure::Ended;
use crate::oracle;
use crate::server::Life;
use crate::{Deciders, client};

/// Seconds of prefill in one placement from which it is news, as in the filter.
const NEWS_S: f64 = 0.02;

/// Upper ends of the deciders' shares of the requests.
pub(super) fn shares(deciders: &Deciders) -> Vec<f64> {
    let mut sum = 0.0;
    let ends = (1..=deciders.count).map(|rank| {
        sum += f64::from(rank).powf(-deciders.zipf);
        sum
    });
    ends.collect()
}

/// The blocks of prompt and answer: a later turn finds both.
fn chain(turn: &Turn) -> Vec<u64> {
    let mut whole = turn.clone();
    whole.prompt.parts.push(Part {
        role: Role::Assistant,
        segment: turn.answer,
    });
    let mut chain = Vec::new();
    block_hashes(&whole, BLOCK_TOKENS, &mut chain);
    chain
}

impl World<'_> {
    pub(super) fn plan_session(&mut self) {
        self.upcoming = self.sessions.next();
        match &self.upcoming {
            Some(session) if nanos(session.start_s()) < self.measured.1 => {
                self.agenda
                    .plan(nanos(session.start_s()), Event::Session);
            }
            _ => self.arrivals_over = true,
        }
    }

    pub(super) fn on_session(&mut self) {
        if let Some(session) = self.upcoming.take() {
            let live = self.lives.len();
            let proxy = self.drawn_proxy();
            self.lives.push(Some(Live {
                session,
                next: None,
                proxy,
            }));
            self.advance(live);
        }
        self.plan_session();
    }

    fn drawn_proxy(&mut self) -> usize {
        let total = self.shares.last().copied().unwrap_or(1.0);
        let point = self.rng.unit() * total;
        let index = self.shares.partition_point(|end| *end < point);
        index.min(self.shares.len().saturating_sub(1))
    }

    /// Plans the session's next turn, or ends it.
    fn advance(&mut self, live: usize) {
        let Some(slot) = self.lives.get_mut(live) else {
            return;
        };
        let turn = slot.as_mut().and_then(|live| live.session.next());
        match (turn, slot) {
            (Some(turn), Some(live_session)) => {
                let at = self.agenda.now() + nanos(turn.think_s);
                live_session.next = Some(turn);
                self.agenda.plan(at, Event::Turn(live));
            }
            (_, slot) => *slot = None,
        }
    }

    pub(super) fn on_turn(&mut self, live: usize) {
        let Some(Some(session)) = self.lives.get_mut(live) else {
            return;
        };
        let Some(turn) = session.next.take() else {
            return;
        };
        let (index, home) = (session.session.index(), session.proxy);
        let proxy = match self.scenario.deciders.sticky {
            true => home,
            false => self.drawn_proxy(),
        };
        let measured = (self.measured.0..self.measured.1).contains(&self.agenda.now());
        self.measure.requests += u64::from(measured);
        self.open += u64::from(measured);
        self.send(&turn, index, live, proxy, measured);
    }

    fn send(&mut self, turn: &Turn, session: u64, live: usize, proxy: usize, measured: bool) {
        let chain = chain(turn);
        let stretch = match self.scenario.errors.prompt_sigma {
            0.0 => 1.0,
            sigma => (sigma * self.rng.normal()).exp(),
        };
        let tokens = turn.prompt.tokens();
        let (server, request) = match self.oracle {
            Some(weights) => {
                let chosen =
                    oracle::choose(&self.servers, tokens, &chain, turn.adapter, weights);
                (chosen, None)
            }
            None => {
                let (server, request) = self.decide(turn, session, proxy, stretch, measured);
                (server, Some(request))
            }
        };
        let now = self.agenda.now();
        let Some(server) = server.filter(|at| self.is_up(*at)) else {
            // Nothing is listening: the request fails at once.
            self.end_unsent(live, measured);
            return;
        };
        let ticket = request.map(|request| self.book(server, proxy, &request));
        let job = Job {
            live,
            proxy,
            server,
            ticket,
            sent_at: now,
            first_at: None,
            last_at: now,
            prompt_tokens: tokens,
            output_tokens: turn.answer.tokens,
            queued_tokens: 0,
            cached_tokens: 0,
            admitted: false,
            measured,
        };
        self.submit(job, turn, chain);
    }

    fn is_up(&self, server: usize) -> bool {
        let life = self.servers.get(server).map(|server| server.life);
        matches!(life, Some(Life::Serving | Life::Draining))
    }

    /// The proxy's decision, and what it knew.
    fn decide(
        &mut self,
        turn: &Turn,
        session: u64,
        proxy: usize,
        stretch: f64,
        measured: bool,
    ) -> (Option<usize>, Request) {
        let now = self.agenda.now();
        let Some(decider) = self.proxies.get_mut(proxy) else {
            return (None, Request::default());
        };
        decider.catch_up();
        if measured {
            self.measure.on_age(decider.table_age_s(now));
        }
        let request = client::request(turn, session, stretch, decider.table());
        let chosen = decider.choose(now, &request);
        // Without an opinion the proxy balances by itself; which way does not matter in the moments before the first table.
        let at = match chosen {
            Some(id) => self.by_id.get(&id).copied(),
            None => Some(decider.any_of(self.servers.len())),
        };
        (at, request)
    }

    fn book(&mut self, server: usize, proxy: usize, request: &Request) -> trimtab_pick::Ticket {
        let now = self.agenda.now();
        let (decider, to) = (&mut self.proxies[proxy], &self.servers[server]);
        let ticket = decider.on_sent(now, (to.id, server), &to.address, request);
        let reports = &self.scenario.reports;
        if let Some(gap_s) = reports.news_gap_s.filter(|_| reports.enabled) {
            let profile = to.engine.profile();
            let prefill_s = ticket.uncached_tokens() as f64 * profile.prefill_s_per_token / profile.speed;
            if prefill_s >= NEWS_S
                && let Some(at) = decider.plan_news(now, nanos(gap_s))
            {
                self.agenda.plan(at, Event::News(proxy));
            }
        }
        ticket
    }

    fn submit(&mut self, mut job: Job, turn: &Turn, chain: Vec<u64>) {
        let id = self.jobs.len() as u64;
        let server = job.server;
        let to = &mut self.servers[server];
        job.queued_tokens = oracle::uncached(to, job.prompt_tokens, &chain);
        let request = EngineRequest {
            id,
            prompt_tokens: job.prompt_tokens,
            output_tokens: job.output_tokens,
            chain,
            adapter: turn.adapter,
        };
        to.got += 1;
        if to.engine.submit(request).is_err() {
            // Too long for the endpoint: it answers with an error.
            self.jobs.push(Some(job));
            self.end(id, false);
            return;
        }
        to.queued_tokens += u64::from(job.queued_tokens);
        self.jobs.push(Some(job));
        self.begin_step(server);
    }

    fn begin_step(&mut self, server: usize) {
        let mut events = Vec::new();
        let Some(to) = self.servers.get_mut(server) else {
            return;
        };
        if let Some(plan) = to.begin_step(&mut events) {
            let at = self.agenda.now() + nanos(plan.duration_s).max(1);
            self.agenda.plan(at, Event::StepEnds(server));
        }
        for event in events {
            if let EngineEvent::Admitted { id, cached_tokens } = event {
                self.on_admitted(id, cached_tokens);
            }
        }
    }

    fn on_admitted(&mut self, id: u64, cached_tokens: u32) {
        let Some(Some(job)) = self.jobs.get_mut(id as usize) else {
            return;
        };
        if std::mem::replace(&mut job.admitted, true) {
            return;
        }
        job.cached_tokens = cached_tokens;
        let left = u64::from(std::mem::take(&mut job.queued_tokens));
        let server = &mut self.servers[job.server];
        server.queued_tokens = server.queued_tokens.saturating_sub(left);
        if job.measured {
            self.measure.prompt_tokens += u64::from(job.prompt_tokens);
            self.measure.cached_tokens += u64::from(cached_tokens);
        }
    }

    pub(super) fn on_step_end(&mut self, server: usize) {
        let mut events = Vec::new();
        let Some(from) = self.servers.get_mut(server) else {
            return;
        };
        from.stepping = false;
        if from.life == Life::Dead {
            return;
        }
        from.engine.finish_step(&mut events);
        for event in events {
            if let EngineEvent::Token { id, finished, .. } = event {
                self.on_token(id);
                if finished {
                    self.end(id, true);
                }
            }
        }
        self.begin_step(server);
    }

    fn on_token(&mut self, id: u64) {
        let now = self.agenda.now();
        let Some(Some(job)) = self.jobs.get_mut(id as usize) else {
            return;
        };
        let server = &mut self.servers[job.server];
        if job.first_at.is_none() {
            job.first_at = Some(now);
            server.on_first_token(seconds(now - job.sent_at), job.cached_tokens);
            if let Some(ticket) = &mut job.ticket {
                self.proxies[job.proxy].on_first_byte(now, job.server, ticket);
            }
        } else {
            server.on_token(seconds(now - job.last_at));
        }
        job.last_at = now;
    }

    /// A request ended; `complete`: with all of its tokens.
    pub(super) fn end(&mut self, id: u64, complete: bool) {
        let Some(job) = self.jobs.get_mut(id as usize).and_then(Option::take) else {
            return;
        };
        let now = self.agenda.now();
        if let Some(ticket) = job.ticket {
            self.proxies[job.proxy].on_done(now, job.server, ticket, !complete);
        }
        if job.measured {
            self.open -= 1;
            let slo = &self.scenario.slo;
            let gaps = job.output_tokens.saturating_sub(1);
            let decoded_s = job.first_at.map(|first| seconds(job.last_at - first));
            let ended = Ended {
                ttft_s: job.first_at.map(|first| seconds(first - job.sent_at)),
                tpot_s: decoded_s
                    .filter(|_| complete && gaps > 0)
                    .map(|span| span / f64::from(gaps)),
                complete,
                allowed_s: slo.ttft_s + slo.prefill_factor * self.idle_ttft_s(job.prompt_tokens),
            };
            self.measure.on_end(&ended, slo);
        }
        self.advance(job.live);
    }

    fn end_unsent(&mut self, live: usize, measured: bool) {
        if measured {
            self.open -= 1;
            let ended = Ended {
                ttft_s: None,
                tpot_s: None,
                complete: false,
                allowed_s: 0.0,
            };
            self.measure.on_end(&ended, &self.scenario.slo);
        }
        self.advance(live);
    }

    /// The prompt's own prefill time on the fastest class of the fleet.
    fn idle_ttft_s(&self, tokens: u32) -> f64 {
        let groups = self.scenario.fleet.iter();
        groups
            .map(|group| oracle::idle_ttft_s(&group.profile, tokens))
            .fold(f64::INFINITY, f64::min)
    }
}
