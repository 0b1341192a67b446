//! Finds the endpoint that takes a request, as `deploy/envoy` does. Where a connection fails, the
//! next endpoint of the decision is tried, three in all. The filter may notice a retry only later.
//!
//! Left out: Envoy's own pauses between tries (12 ms on average before the first) and its outlier
//! detection.

use trimtab_engine::BLOCK_TOKENS;
use trimtab_pick::{Booking, Outcome};
use trimtab_report::Sent;
use trimtab_workload::Turn;

use super::jobs::End;
use super::{Job, World};
use crate::client;
use crate::clock::Nanos;
use crate::oracle::{self, Weights};
use crate::server::{Life, Server};
use crate::worker::{Chosen, Worker};

/// Number of endpoints that are tried for one request: `num_retries` is 2.
const MOST_TRIES: usize = 3;

/// A request that has an endpoint.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) server: usize,
    pub(super) sent: Option<Sent>,
    pub(super) asked: bool,
    pub(super) astray: Option<Box<Booking>>,
    pub(super) predicted_s: Option<f64>,
}

impl World<'_> {
    /// Places a request by the oracle, which needs no books. Returns `None` when no endpoint
    /// serves.
    pub(super) fn foresee(&self, turn: &Turn, chain: &[u64], weights: Weights) -> Option<Placed> {
        let tokens = turn.prompt.tokens();
        let server = oracle::choose(&self.servers, tokens, chain, turn.adapter, weights)?;
        Some(Placed {
            server,
            sent: None,
            asked: false,
            astray: None,
            predicted_s: None,
        })
    }

    /// Places a request by the worker's decision and its proxy's tries. Returns `None` when no
    /// tried endpoint can be reached.
    pub(super) fn place(
        &mut self,
        turn: &Turn,
        session: u64,
        chain: &[u64],
        worker: usize,
        stretch: f64,
        measured: bool,
    ) -> Option<Placed> {
        let now = self.agenda.now();
        let decider = self.workers.get_mut(worker)?;
        decider.catch_up();
        if measured {
            self.measure.on_age(decider.table_age_s(now));
        }
        let deciders = &self.scenario.deciders;
        let request = client::request(turn, session, stretch, decider.table(), deciders);
        let blocks = (turn.prompt.tokens() / BLOCK_TOKENS) as usize;
        // The rest of the chain belongs to the answer.
        decider.read(chain.get(..blocks).unwrap_or(chain));
        let proxy = self.proxies.get_mut(decider.proxy)?;
        if let Some(endpoint) = proxy.take_probe(decider.table()) {
            decider.probe_next(endpoint);
        }
        let chosen = decider.choose(now, &request);
        self.connect(worker, &chosen)
    }

    fn connect(&mut self, worker: usize, chosen: &Chosen) -> Option<Placed> {
        let booking = &chosen.booking;
        let now = self.agenda.now();
        let first = self.nth(worker, chosen, 0)?;
        let mut sent = self.book(first, worker, booking)?;
        let last = self.tried_last(worker, chosen, first);
        let reached = self.listens(last);
        let decider = self.workers.get_mut(worker)?;
        // The worker always asks for the outcome of a failed request.
        let asked = decider.watch.samples(now) || !reached;
        let mut booked = first;
        if asked && last != first {
            sent = self.reroute(now, worker, sent, last, booking)?;
            booked = last;
        }
        let decider = self.workers.get_mut(worker)?;
        if !reached {
            decider.watch.on_wrong(now);
            decider.on_outcome(now, &mut sent, Outcome::ConnectFailure);
            decider.on_done(sent, true);
            return None;
        }
        let to = self.servers.get(last)?;
        let drains = to.life == Life::Draining && decider.knows_draining(to.id);
        self.measure.after_drain += u64::from(drains);
        let wait_s = chosen.wait_s.filter(|_| last == first);
        Some(Placed {
            server: last,
            predicted_s: predicted_s(decider, to, wait_s, &sent),
            sent: Some(sent),
            asked,
            astray: (booked != last).then(|| Box::new(*booking)),
        })
    }

    /// Returns the endpoint that was tried last. That is one that listens, if any tried endpoint
    /// does.
    fn tried_last(&mut self, worker: usize, chosen: &Chosen, first: usize) -> usize {
        let (mut last, mut tries) = (first, 1);
        while !self.listens(last) && tries < MOST_TRIES {
            last = self.nth(worker, chosen, tries).unwrap_or(last);
            tries += 1;
        }
        last
    }

    /// Returns the endpoint of try number `nth`, from 0. Without an opinion the proxy draws any
    /// endpoint. How it balances then does not matter, because this only happens before the first
    /// table.
    fn nth(&mut self, worker: usize, chosen: &Chosen, nth: usize) -> Option<usize> {
        match chosen.endpoints.is_empty() {
            true => Some(self.workers.get_mut(worker)?.any_of(self.servers.len())),
            false => self.by_id.get(chosen.endpoints.get(nth)?).copied(),
        }
    }

    fn listens(&self, server: usize) -> bool {
        let server = self.servers.get(server);
        server.is_some_and(|server| server.life.listens())
    }

    /// Books the request at the endpoint. A large placement is reported at once. Returns `None` if
    /// there is no such worker or endpoint.
    fn book(&mut self, server: usize, worker: usize, booking: &Booking) -> Option<Sent> {
        let now = self.agenda.now();
        let decider = self.workers.get_mut(worker)?;
        let sent = decider.on_sent(now, self.servers.get(server)?, booking);
        if sent.ticket().is_large() {
            self.on_large(worker);
        }
        Some(sent)
    }

    /// Moves the books to the endpoint that a retry reached. The worker cannot know why the first
    /// endpoint failed, and counts a server error.
    fn reroute(
        &mut self,
        now: Nanos,
        worker: usize,
        mut sent: Sent,
        to: usize,
        booking: &Booking,
    ) -> Option<Sent> {
        let decider = self.workers.get_mut(worker)?;
        decider.watch.on_wrong(now);
        decider.on_outcome(now, &mut sent, Outcome::ServerError);
        decider.on_rerouted(now, sent, self.servers.get(to), booking)
    }

    /// Moves the books of a request that a retry took elsewhere. A worker only notices while it
    /// doubts, because it then also asks for the outcome of requests under way.
    pub(super) fn notice(&mut self, job: &mut Job) {
        let now = self.agenda.now();
        let worker = self.workers.get(job.worker);
        if job.astray.is_none() || !worker.is_some_and(|worker| worker.watch.doubts(now)) {
            return;
        }
        let Some((booking, sent)) = job.astray.take().zip(job.sent.take()) else {
            return;
        };
        let started = !sent.ticket().is_pending();
        job.sent = self.reroute(now, job.worker, sent, job.server, &booking);
        let worker = self.workers.get_mut(job.worker);
        if let Some((worker, sent)) = worker.zip(job.sent.as_mut().filter(|_| started)) {
            worker.on_first_byte(now, sent);
        }
    }

    /// Gives the worker the outcome of a request that ended.
    pub(super) fn tell(&mut self, job: &mut Job, end: End) {
        let now = self.agenda.now();
        self.notice(job);
        let worker = self.workers.get_mut(job.worker);
        let Some((worker, sent)) = worker.zip(job.sent.as_mut()) else {
            return;
        };
        let outcome = match end {
            End::Broken => {
                worker.watch.on_wrong(now);
                Outcome::Reset
            }
            End::Complete => Outcome::Ok,
            End::Refused => Outcome::Rejected,
        };
        job.asked |= worker.watch.doubts(now);
        if job.asked {
            worker.on_outcome(now, sent, outcome);
        }
    }
}

/// Returns the time to first token that the decision predicted: wait, prefill and one empty step of
/// the endpoint.
fn predicted_s(worker: &Worker, to: &Server, wait_s: Option<f64>, sent: &Sent) -> Option<f64> {
    let step_s = to.engine.profile().step_base_s / to.speed();
    Some(worker.predicted_ttft_s(wait_s, sent.ticket())? + step_s)
}
