//! Finds the endpoint that takes a request, as `deploy/envoy` does. Where a connection fails, the
//! next endpoint of the decision is tried, three in all. The filter may notice a retry only later.
//!
//! Left out: Envoy's own pauses between tries (12 ms on average before the first) and its outlier
//! detection.

use trimtab_engine::BLOCK_TOKENS;
use trimtab_pick::{Booking, Outcome, Ticket};
use trimtab_workload::Turn;

use super::jobs::End;
use super::{Event, Job, World};
use crate::client;
use crate::clock::{Nanos, nanos};
use crate::oracle::{self, Weights};
use crate::proxy::{Chosen, Proxy};
use crate::server::{Life, Server};

/// Number of endpoints that are tried for one request: `num_retries` is 2.
const MOST_TRIES: usize = 3;

/// A request that has an endpoint.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) server: usize,
    pub(super) booked: usize,
    pub(super) ticket: Option<Ticket>,
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
            booked: server,
            ticket: None,
            asked: false,
            astray: None,
            predicted_s: None,
        })
    }

    /// Places a request by the proxy's decision and its tries. Returns `None` when no tried
    /// endpoint can be reached.
    pub(super) fn place(
        &mut self,
        turn: &Turn,
        session: u64,
        chain: &[u64],
        proxy: usize,
        stretch: f64,
        measured: bool,
    ) -> Option<Placed> {
        let now = self.agenda.now();
        let decider = self.proxies.get_mut(proxy)?;
        decider.catch_up();
        if measured {
            self.measure.on_age(decider.table_age_s(now));
        }
        let deciders = &self.scenario.deciders;
        let request = client::request(turn, session, stretch, decider.table(), deciders);
        let blocks = (turn.prompt.tokens() / BLOCK_TOKENS) as usize;
        // The rest of the chain belongs to the answer.
        decider.read(chain.get(..blocks).unwrap_or(chain));
        let chosen = decider.choose(now, &request);
        self.connect(proxy, &chosen)
    }

    fn connect(&mut self, proxy: usize, chosen: &Chosen) -> Option<Placed> {
        let booking = &chosen.booking;
        let now = self.agenda.now();
        let first = self.nth(proxy, chosen, 0)?;
        let mut ticket = self.book(first, proxy, booking)?;
        let last = self.tried_last(proxy, chosen, first);
        let reached = self.listens(last);
        let decider = self.proxies.get_mut(proxy)?;
        // The proxy always asks for the outcome of a failed request.
        let asked = decider.watch.samples(now) || !reached;
        let mut booked = first;
        if asked && last != first {
            ticket = self.move_books(now, proxy, (first, ticket), last, booking)?;
            booked = last;
        }
        let decider = self.proxies.get_mut(proxy)?;
        if !reached {
            decider.watch.on_wrong(now);
            decider.on_outcome(now, &mut ticket, Outcome::ConnectFailure);
            decider.on_done(booked, ticket, true);
            return None;
        }
        let to = self.servers.get(last)?;
        let drains = to.life == Life::Draining && decider.knows_draining(to.id);
        self.measure.after_drain += u64::from(drains);
        let wait_s = chosen.wait_s.filter(|_| last == first);
        Some(Placed {
            server: last,
            booked,
            predicted_s: predicted_s(decider, to, wait_s, &ticket),
            ticket: Some(ticket),
            asked,
            astray: (booked != last).then(|| Box::new(*booking)),
        })
    }

    /// Returns the endpoint that was tried last. That is one that listens, if any tried endpoint
    /// does.
    fn tried_last(&mut self, proxy: usize, chosen: &Chosen, first: usize) -> usize {
        let (mut last, mut tries) = (first, 1);
        while !self.listens(last) && tries < MOST_TRIES {
            last = self.nth(proxy, chosen, tries).unwrap_or(last);
            tries += 1;
        }
        last
    }

    /// Returns the endpoint of try number `nth`, from 0. Without an opinion the proxy draws any
    /// endpoint. How it balances then does not matter, because this only happens before the first
    /// table.
    fn nth(&mut self, proxy: usize, chosen: &Chosen, nth: usize) -> Option<usize> {
        match chosen.endpoints.is_empty() {
            true => Some(self.proxies.get_mut(proxy)?.any_of(self.servers.len())),
            false => self.by_id.get(chosen.endpoints.get(nth)?).copied(),
        }
    }

    fn listens(&self, server: usize) -> bool {
        let server = self.servers.get(server);
        server.is_some_and(|server| server.life.listens())
    }

    /// Books the request at the endpoint. A large placement plans a report. Returns `None` if there
    /// is no such proxy or endpoint.
    fn book(&mut self, server: usize, proxy: usize, booking: &Booking) -> Option<Ticket> {
        let now = self.agenda.now();
        let decider = self.proxies.get_mut(proxy)?;
        let to = self.servers.get(server)?;
        let ticket = decider.on_sent(now, (to.id, server), &to.address, booking);
        let reports = &self.scenario.reports;
        let gap_s = reports.news_gap_s.filter(|_| reports.enabled);
        if let Some(gap_s) = gap_s.filter(|_| ticket.is_large())
            && let Some(at) = decider.plan_news(now, nanos(gap_s))
        {
            self.agenda.plan(at, Event::News(proxy));
        }
        Some(ticket)
    }

    /// Moves the books to the endpoint that a retry reached. The proxy cannot know why the first
    /// endpoint failed, and counts a server error.
    fn move_books(
        &mut self,
        now: Nanos,
        proxy: usize,
        (from, mut ticket): (usize, Ticket),
        to: usize,
        booking: &Booking,
    ) -> Option<Ticket> {
        let decider = self.proxies.get_mut(proxy)?;
        decider.watch.on_wrong(now);
        decider.on_outcome(now, &mut ticket, Outcome::ServerError);
        decider.on_done(from, ticket, true);
        let to_server = self.servers.get(to)?;
        Some(decider.on_sent(now, (to_server.id, to), &to_server.address, booking))
    }

    /// Moves the books of a request that a retry took elsewhere. A proxy only notices while it
    /// doubts, because it then also asks for the outcome of requests under way.
    pub(super) fn notice(&mut self, job: &mut Job) {
        let now = self.agenda.now();
        let proxy = self.proxies.get(job.proxy);
        if job.astray.is_none() || !proxy.is_some_and(|proxy| proxy.watch.doubts(now)) {
            return;
        }
        let Some((booking, ticket)) = job.astray.take().zip(job.ticket.take()) else {
            return;
        };
        let started = !ticket.is_pending();
        let (from, to) = (job.booked, job.server);
        job.ticket = self.move_books(now, job.proxy, (from, ticket), to, &booking);
        job.booked = to;
        let proxy = self.proxies.get_mut(job.proxy);
        if let Some((proxy, ticket)) = proxy.zip(job.ticket.as_mut().filter(|_| started)) {
            proxy.on_first_byte(now, to, ticket);
        }
    }

    /// Gives the proxy the outcome of a request that ended.
    pub(super) fn tell(&mut self, job: &mut Job, end: End) {
        let now = self.agenda.now();
        self.notice(job);
        let proxy = self.proxies.get_mut(job.proxy);
        let Some((proxy, ticket)) = proxy.zip(job.ticket.as_mut()) else {
            return;
        };
        let outcome = match end {
            End::Broken => {
                proxy.watch.on_wrong(now);
                Outcome::Reset
            }
            End::Complete => Outcome::Ok,
            End::Refused => Outcome::Rejected,
        };
        job.asked |= proxy.watch.doubts(now);
        if job.asked {
            proxy.on_outcome(now, ticket, outcome);
        }
    }
}

/// Returns the time to first token that the decision predicted: wait, prefill and one empty step of
/// the endpoint.
fn predicted_s(decider: &Proxy, to: &Server, wait_s: Option<f64>, ticket: &Ticket) -> Option<f64> {
    let step_s = to.engine.profile().step_base_s / to.speed();
    Some(decider.predicted_ttft_s(wait_s, ticket)? + step_s)
}
