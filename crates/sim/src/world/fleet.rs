//! Endpoints that come and go.

use super::World;
use crate::server::{Life, Server};
use crate::{Change, Group, Invalid};

impl World<'_> {
    /// Adds endpoints. Those of a run with speed errors differ from what their class says.
    pub(super) fn add(&mut self, group: &Group) -> Result<(), Invalid> {
        for _ in 0..group.count {
            let mut profile = group.profile.clone();
            if self.scenario.errors.speed > 0.0 {
                profile.speed *= 1.0 + self.scenario.errors.speed * (2.0 * self.rng.unit() - 1.0);
            }
            let index = self.servers.len();
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let server = Server::new(number, &group.class, profile)?;
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
                // The profile was checked with the scenario.
                if self.add(group).is_ok() && self.oracle.is_none() {
                    (first..self.servers.len()).for_each(|server| self.plan_scrapes(server));
                }
            }
            Change::Drain { class, count } => {
                for server in self.newest(class, *count) {
                    self.servers[server].life = Life::Draining;
                }
            }
            Change::Kill { class, count } => {
                for server in self.newest(class, *count) {
                    self.servers[server].life = Life::Dead;
                    self.fail_all(server);
                }
            }
        }
        self.aggregator.list(self.agenda.now(), &self.servers);
    }

    fn newest(&self, class: &str, count: u32) -> Vec<usize> {
        let of_class = |(_, server): &(usize, &Server)| {
            server.class == class && server.life == Life::Serving
        };
        let servers = self.servers.iter().enumerate().rev();
        servers
            .filter(of_class)
            .map(|(index, _)| index)
            .take(count as usize)
            .collect()
    }

    fn fail_all(&mut self, server: usize) {
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
            self.end(id as u64, false);
        }
    }
}
