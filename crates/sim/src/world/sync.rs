//! Scrapes, tables and reports, and their ways between aggregator and proxies.

use trimtab_estimate::{Missed, Sample};
use trimtab_loadtable::Report;
use trimtab_report::Call;
use trimtab_workload::Rng;

use super::{Event, World};
use crate::clock::{nanos, seconds};
use crate::proxy::Proxy;
use crate::server::Life;
use crate::worker::{Arrived, Worker};
use crate::{Rule, Scenario, rules};

/// Seconds that a scrape takes.
const SCRAPE_S: f64 = 0.003;
/// Least seconds between two polls of one proxy.
const POLL_GAP_S: f64 = 0.01;

/// Makes all proxies, each with its own delay.
pub(super) fn proxies(scenario: &Scenario, rng: &mut Rng) -> Vec<Proxy> {
    let tables = &scenario.tables;
    let proxy = |number: u32| {
        let delay = nanos(tables.delay_s + tables.delay_spread_s * rng.unit());
        Proxy::new(u64::from(number), delay)
    };
    (1..=scenario.deciders.count).map(proxy).collect()
}

/// Makes the workers of all proxies.
pub(super) fn workers(scenario: &Scenario, rule: Rule, seed: u64) -> Vec<Worker> {
    let each = scenario.deciders.workers.max(1);
    let worker = |index: u32| {
        let number = u64::from(index) + 1;
        let own_seed = Rng::derive(seed, number).next_u64();
        let blocks = rules::blocks(scenario, rule);
        let decider = rules::decider(rule, blocks.clone());
        Worker::new(number, (index / each) as usize, (decider, blocks), own_seed)
    };
    (0..scenario.deciders.count * each).map(worker).collect()
}

impl World<'_> {
    pub(super) fn begin_sync(&mut self) {
        for server in 0..self.servers.len() {
            self.plan_scrapes(server);
        }
        self.agenda.plan(0, Event::Publish(0));
        for proxy in 0..self.proxies.len() {
            let at = nanos(self.rng.unit() * self.scenario.tables.publish_s);
            self.agenda.plan(at, Event::Poll(proxy));
        }
    }

    /// Plans an endpoint's first scrape at a random moment within one interval. So endpoints are
    /// scraped at different moments.
    pub(super) fn plan_scrapes(&mut self, server: usize) {
        let at = self.agenda.now() + nanos(self.rng.unit() * self.scenario.tables.scrape_s);
        self.agenda.plan(at, Event::Scrape(server));
    }

    pub(super) fn on_scrape(&mut self, server: usize) {
        let now = self.agenda.now();
        let Some(from) = self.servers.get(server) else {
            return;
        };
        match from.life {
            Life::Dead | Life::Hung { page_hangs: true } => {
                self.aggregator
                    .on_scrape_failed(now, &from.address, Missed::Unreachable);
            }
            _ if !from.has_samples() => {
                self.aggregator
                    .on_scrape_failed(now, &from.address, Missed::Unreadable)
            }
            Life::Serving | Life::Draining | Life::Hung { page_hangs: false } => {
                let sample = Box::new(from.sample(self.adapters));
                self.agenda
                    .plan(now + nanos(SCRAPE_S), Event::Scraped(server, sample));
            }
        }
        let next = now + nanos(self.scenario.tables.scrape_s);
        self.agenda.plan(next, Event::Scrape(server));
    }

    pub(super) fn on_scraped(&mut self, server: usize, sample: Sample) {
        if let Some(from) = self.servers.get(server) {
            self.aggregator
                .on_sample(self.agenda.now(), &from.address, sample);
        }
    }

    pub(super) fn on_publish(&mut self, number: u64) {
        if number != self.aggregator.planned.0 {
            return;
        }
        let now = self.agenda.now();
        let stops_at_s = self.scenario.tables.stops_at_s;
        if stops_at_s.is_some_and(|stops_at_s| seconds(now) >= stops_at_s) {
            return;
        }
        let (next, waiting) = self.aggregator.publish(now);
        self.plan_publish(next);
        for proxy in waiting {
            self.answer(proxy);
        }
    }

    fn plan_publish(&mut self, at: u64) {
        let number = self.aggregator.planned.0 + 1;
        self.aggregator.planned = (number, at);
        self.agenda.plan(at, Event::Publish(number));
    }

    pub(super) fn on_poll(&mut self, proxy: usize) {
        let (now, tick) = (self.agenda.now(), nanos(self.scenario.deciders.tick_s));
        let Some((from, workers)) = self.of_proxy(proxy) else {
            return;
        };
        from.called_at = now;
        let report = from.report(Call::Sync, now, workers, tick).map(Box::new);
        let at = now + nanos(self.scenario.reports.delay_s);
        self.agenda.plan(at, Event::PollArrives(proxy, report));
    }

    /// Returns a proxy and its workers.
    fn of_proxy(&mut self, proxy: usize) -> Option<(&mut Proxy, &mut [Worker])> {
        let each = self.scenario.deciders.workers.max(1) as usize;
        let workers = self.workers.chunks_mut(each).nth(proxy)?;
        Some((self.proxies.get_mut(proxy)?, workers))
    }

    pub(super) fn on_poll_arrives(&mut self, proxy: usize, report: Option<&Report>) {
        if let Some(report) = report {
            self.on_report(proxy, Call::Sync, report);
        }
        let newest = self.aggregator.newest.as_ref().map(|table| table.version);
        let has = self.proxies.get(proxy).and_then(Proxy::version);
        if newest > has {
            self.answer(proxy);
        } else {
            self.aggregator.waiting.push(proxy);
        }
    }

    pub(super) fn on_report(&mut self, proxy: usize, call: Call, report: &Report) {
        if !self.scenario.reports.enabled {
            return;
        }
        let lost = self.chance(self.scenario.reports.loss);
        if let Some(from) = self.proxies.get_mut(proxy) {
            from.on_reported(call, lost);
        }
        if lost {
            return;
        }
        if let Some(at) = self.aggregator.on_report(self.agenda.now(), report) {
            self.plan_publish(at);
        }
    }

    fn answer(&mut self, proxy: usize) {
        let lost = self.chance(self.scenario.tables.loss);
        let Some((number, delay)) = self.proxies.get(proxy).map(|to| (to.number(), to.delay))
        else {
            return;
        };
        let at = self.agenda.now() + delay;
        let mut arrived = self.aggregator.answer(number, at).filter(|_| !lost);
        if self.chance(self.scenario.reports.ack_loss)
            && let Some(arrived) = &mut arrived
        {
            arrived.report = None;
        }
        self.agenda.plan(at, Event::Answer(proxy, arrived));
    }

    pub(super) fn on_answer(&mut self, proxy: usize, arrived: Option<&Arrived>) {
        let Some((to, workers)) = self.of_proxy(proxy) else {
            return;
        };
        to.on_answer(arrived, workers);
        let at = to.called_at + nanos(POLL_GAP_S);
        self.agenda.plan(at, Event::Poll(proxy));
    }

    pub(super) fn on_urgent(&mut self, proxy: usize) {
        let (now, tick) = (self.agenda.now(), nanos(self.scenario.deciders.tick_s));
        let Some((from, workers)) = self.of_proxy(proxy) else {
            return;
        };
        if !from.is_urgent(now) {
            return;
        }
        if let Some(report) = from.report(Call::Report, now, workers, tick) {
            let at = now + nanos(self.scenario.reports.delay_s);
            let report = Box::new(report);
            self.agenda.plan(at, Event::UrgentArrives(proxy, report));
        }
    }

    /// A worker has sent a request that brings much prefill. It writes a report at once, or on its
    /// next tick if it wrote such a report just now. A call carries the report.
    pub(super) fn on_large(&mut self, worker: usize) {
        let reports = &self.scenario.reports;
        let Some(gap_s) = reports.urgent_gap_s.filter(|_| reports.enabled) else {
            return;
        };
        let now = self.agenda.now();
        let Some(from) = self.workers.get_mut(worker) else {
            return;
        };
        let Some(proxy) = self.proxies.get_mut(from.proxy) else {
            return;
        };
        let wait = match from.tells(now) {
            true => {
                proxy.write(now, from);
                0
            }
            false => nanos(self.scenario.deciders.tick_s),
        };
        if let Some(at) = proxy.plan_urgent(now, nanos(gap_s), wait) {
            self.agenda.plan(at, Event::Urgent(from.proxy));
        }
    }
}
