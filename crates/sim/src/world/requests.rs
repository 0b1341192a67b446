//! Sessions and the requests that they send.

use trimtab_engine::BLOCK_TOKENS;
use trimtab_pick::{Request, Ticket};
use trimtab_workload::{Part, Role, Turn, block_hashes};

use super::{Event, Job, Live, World};
use crate::clock::nanos;
use crate::oracle;
use crate::server::Life;
use crate::{Deciders, client};

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
                self.agenda.plan(nanos(session.start_s()), Event::Session);
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
    pub(super) fn advance(&mut self, live: usize) {
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
                let chosen = oracle::choose(&self.servers, tokens, &chain, turn.adapter, weights);
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
        let ticket = request.and_then(|request| self.book(server, proxy, &request));
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
        let deciders = &self.scenario.deciders;
        let view = match (deciders.marked, deciders.own_endings) {
            (false, _) => client::unmarked,
            (true, true) => client::own_ending,
            (true, false) => client::request,
        };
        let request = view(turn, session, stretch, decider.table());
        let chosen = decider.choose(now, &request);
        // Without an opinion the proxy balances by itself; which way does not matter in the moments before the first table.
        let at = match chosen {
            Some(id) => self.by_id.get(&id).copied(),
            None => Some(decider.any_of(self.servers.len())),
        };
        (at, request)
    }

    /// The proxy sends the request to the endpoint; large placements are news. Absent: there is no such proxy or endpoint.
    fn book(&mut self, server: usize, proxy: usize, request: &Request) -> Option<Ticket> {
        let now = self.agenda.now();
        let decider = self.proxies.get_mut(proxy)?;
        let to = self.servers.get(server)?;
        let ticket = decider.on_sent(now, (to.id, server), &to.address, request);
        let reports = &self.scenario.reports;
        let gap_s = reports.news_gap_s.filter(|_| reports.enabled);
        if let Some(gap_s) = gap_s.filter(|_| ticket.is_news())
            && let Some(at) = decider.plan_news(now, nanos(gap_s))
        {
            self.agenda.plan(at, Event::News(proxy));
        }
        Some(ticket)
    }
}
