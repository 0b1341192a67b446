//! Sessions and the requests that they send.

use trimtab_engine::BLOCK_TOKENS;
use trimtab_workload::{Part, Role, Turn, block_hashes};

use super::{Event, Job, Live, World};
use crate::Deciders;
use crate::clock::nanos;

/// Returns the upper ends of the deciders' shares of the requests.
pub(super) fn shares(deciders: &Deciders) -> Vec<f64> {
    let mut sum = 0.0;
    let ends = (1..=deciders.count).map(|rank| {
        sum += f64::from(rank).powf(-deciders.zipf);
        sum
    });
    ends.collect()
}

/// Returns the blocks of prompt and answer, because a later turn can find both in the cache.
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

    /// Draws the worker of the proxy that gets a request.
    fn drawn_worker(&mut self, proxy: usize) -> usize {
        let each = self.scenario.deciders.workers.max(1) as usize;
        let drawn = match each {
            1 => 0,
            _ => (self.rng.unit() * each as f64) as usize,
        };
        proxy * each + drawn.min(each - 1)
    }

    /// Plans the session's next turn, or ends the session.
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
        let worker = self.drawn_worker(proxy);
        let measured = (self.measured.0..self.measured.1).contains(&self.agenda.now());
        self.measure.requests += u64::from(measured);
        self.open += u64::from(measured);
        self.send(&turn, index, live, worker, measured);
    }

    fn send(&mut self, turn: &Turn, session: u64, live: usize, worker: usize, measured: bool) {
        let chain = chain(turn);
        let stretch = match self.scenario.errors.prompt_sigma {
            0.0 => 1.0,
            sigma => (sigma * self.rng.normal()).exp(),
        };
        let placed = match self.oracle {
            Some(weights) => self.foresee(turn, &chain, weights),
            None => self.place(turn, session, &chain, worker, stretch, measured),
        };
        let Some(placed) = placed else {
            self.end_unsent(live, measured);
            return;
        };
        let now = self.agenda.now();
        let job = Job {
            live,
            worker,
            server: placed.server,
            sent: placed.sent,
            asked: placed.asked,
            astray: placed.astray,
            predicted_s: placed.predicted_s,
            sent_at: now,
            first_at: None,
            last_at: now,
            prompt_tokens: turn.prompt.tokens(),
            output_tokens: turn.answer.tokens,
            queued_tokens: 0,
            cached_tokens: 0,
            admitted: false,
            measured,
        };
        self.submit(job, turn, chain);
    }
}
