//! Endpoints that come, go and fail.

use super::World;
use super::jobs::End;
use crate::server::{Life, Server};
use crate::{Change, Group, Invalid};

impl World<'_> {
    /// Adds endpoints. With speed errors, their true speeds differ from that of their class.
    pub(super) fn add(&mut self, group: &Group) -> Result<(), Invalid> {
        for _ in 0..group.count {
            let mut profile = group.profile.clone();
            if self.scenario.errors.speed > 0.0 {
                profile.speed *= 1.0 + self.scenario.errors.speed * (2.0 * self.rng.unit() - 1.0);
            }
            let index = self.servers.len();
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let mut server = Server::new(number, &group.class, profile)?;
            server.page = group.page;
            self.by_id.insert(server.id, index);
            self.servers.push(server);
        }
        Ok(())
    }

    pub(super) fn on_churn(&mut self, index: usize) {
        let scenario = self.scenario;
        let Some(churn) = scenario.churn.get(index) else {
            return;
        };
        match &churn.change {
            Change::Add(group) => {
                let first = self.servers.len();
                // The profile was checked together with the scenario.
                if self.add(group).is_ok() && self.oracle.is_none() {
                    (first..self.servers.len()).for_each(|server| self.plan_scrapes(server));
                }
            }
            Change::Drain { class, count } => {
                for server in self.newest(class, *count) {
                    self.set_life(server, Life::Draining);
                }
            }
            Change::Kill { class, count } => {
                for server in self.newest(class, *count) {
                    self.set_life(server, Life::Dead);
                    self.break_all(server);
                }
            }
            Change::Hang {
                class,
                count,
                page_hangs,
            } => self.each_newest(class, *count, |server, adapters| {
                server.hang(*page_hangs, adapters);
            }),
            Change::Slow {
                class,
                count,
                factor,
            } => self.each_newest(class, *count, |server, _| server.pace *= factor),
            Change::Recover { class, count } => self.recover(class, *count),
        }
        self.aggregator.list(self.agenda.now(), &self.servers);
    }

    /// Changes the newest endpoints of a class. `change` gets each of them, and whether the traffic
    /// has adapters.
    fn each_newest(&mut self, class: &str, count: u32, change: impl Fn(&mut Server, bool)) {
        let adapters = self.adapters;
        for server in self.newest(class, count) {
            if let Some(server) = self.servers.get_mut(server) {
                change(server, adapters);
            }
        }
    }

    fn recover(&mut self, class: &str, count: u32) {
        let is_down = |life| matches!(life, Life::Dead | Life::Hung { .. });
        for server in self.newest_that(class, count, is_down) {
            self.break_all(server);
            if let Some(server) = self.servers.get_mut(server) {
                // Its profile was valid when it was added.
                let _started = server.restart();
            }
        }
    }

    fn set_life(&mut self, server: usize, life: Life) {
        if let Some(server) = self.servers.get_mut(server) {
            server.life = life;
        }
    }

    fn newest(&self, class: &str, count: u32) -> Vec<usize> {
        self.newest_that(class, count, |life| life == Life::Serving)
    }

    fn newest_that(&self, class: &str, count: u32, is: impl Fn(Life) -> bool) -> Vec<usize> {
        let of_class = |(_, server): &(usize, &Server)| server.class == class && is(server.life);
        let servers = self.servers.iter().enumerate().rev();
        servers
            .filter(of_class)
            .map(|(index, _)| index)
            .take(count as usize)
            .collect()
    }

    /// Ends all requests of the endpoint, because its connections are closed.
    fn break_all(&mut self, server: usize) {
        let here = |(_, job): &(usize, &Option<super::Job>)| {
            job.as_ref().is_some_and(|job| job.server == server)
        };
        let ids: Vec<usize> = self
            .jobs
            .iter()
            .enumerate()
            .filter(here)
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            self.end(id as u64, End::Broken);
        }
    }
}
