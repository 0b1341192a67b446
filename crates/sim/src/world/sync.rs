//! Scrapes, tables and reports, and their ways between aggregator and proxies.

use trimtab_estimate::{Missed, Sample};
use trimtab_workload::Rng;

use super::{Event, World};
use crate::clock::{nanos, seconds};
use crate::proxy::{Arrived, Letter, Proxy};
use crate::server::Life;
use crate::{Rule, Scenario, rules};

/// Seconds that a scrape takes.
const SCRAPE_S: f64 = 0.003;
/// Least seconds between two polls of one proxy.
const POLL_GAP_S: f64 = 0.01;

/// Makes all proxies, each with its own delay.
pub(super) fn proxies(scenario: &Scenario, rule: Rule, seed: u64, rng: &mut Rng) -> Vec<Proxy> {
    let tables = &scenario.tables;
    let proxy = |number: u32| {
        let delay = nanos(tables.delay_s + tables.delay_spread_s * rng.unit());
        let number = u64::from(number);
        let own_seed = Rng::derive(seed, number).next_u64();
        let blocks = rules::blocks(scenario, rule);
        let decider = rules::decider(rule, blocks.clone());
        Proxy::new(number, (decider, blocks), own_seed, delay)
    };
    (1..=scenario.deciders.count).map(proxy).collect()
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
            Life::Gone => return,
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
        let now = self.agenda.now();
        let Some(from) = self.proxies.get_mut(proxy) else {
            return;
        };
        from.called_at = now;
        let letter = from.letter();
        let at = now + nanos(self.scenario.reports.delay_s);
        self.agenda.plan(at, Event::PollArrives(proxy, letter));
    }

    pub(super) fn on_poll_arrives(&mut self, proxy: usize, letter: &Letter) {
        self.on_letter(proxy, letter);
        let newest = self.aggregator.newest.as_ref().map(|table| table.version);
        let has = self.proxies.get(proxy).and_then(Proxy::version);
        if newest > has {
            self.answer(proxy);
        } else {
            self.aggregator.waiting.push(proxy);
        }
    }

    pub(super) fn on_letter(&mut self, proxy: usize, letter: &Letter) {
        if !self.scenario.reports.enabled {
            return;
        }
        if self.chance(self.scenario.reports.loss) {
            if let Some(from) = self.proxies.get_mut(proxy) {
                from.on_lost();
            }
            return;
        }
        let sooner = self.aggregator.on_letter(self.agenda.now(), proxy, letter);
        if let Some(at) = sooner {
            self.plan_publish(at);
        }
    }

    fn answer(&mut self, proxy: usize) {
        let lost = self.chance(self.scenario.tables.loss);
        let Some(delay) = self.proxies.get(proxy).map(|proxy| proxy.delay) else {
            return;
        };
        let at = self.agenda.now() + delay;
        let arrived = self.aggregator.answer(proxy, at).filter(|_| !lost);
        self.agenda.plan(at, Event::Answer(proxy, arrived));
    }

    pub(super) fn on_answer(&mut self, proxy: usize, arrived: Option<Arrived>) {
        let Some(to) = self.proxies.get_mut(proxy) else {
            return;
        };
        if let Some(arrived) = arrived {
            to.on_table(arrived);
        }
        let at = to.called_at + nanos(POLL_GAP_S);
        self.agenda.plan(at, Event::Poll(proxy));
    }

    pub(super) fn on_news(&mut self, proxy: usize) {
        let now = self.agenda.now();
        let Some(from) = self.proxies.get_mut(proxy) else {
            return;
        };
        let letter = from.news(now);
        let at = now + nanos(self.scenario.reports.delay_s);
        self.agenda.plan(at, Event::NewsArrive(proxy, letter));
    }
}
