//! What proxies tell under keys: shared beginnings of prompts, conversations that went elsewhere, what endpoints keep.
//!
//! Such keys are made under the pool's placement key. Under another one they mean nothing.

use super::Pool;
use crate::heat::Heat;
use crate::held::Held;
use crate::moved::MovedList;
use crate::turn::Turn;
use trimtab_loadtable::{PrefixCount, Report};

impl Pool {
    /// Goes on with the key of an aggregator before this one, and forgets what came under its own.
    pub fn set_placement_key(&mut self, key: [u8; 16]) {
        self.config.placement_key = key;
        self.heat = Heat::default();
        self.moved = MovedList::default();
        self.held = Held::default();
    }

    /// Whether the keys in a report mean here what they mean to its proxy.
    fn has_key_of(&self, report: &Report) -> bool {
        let key = report.placement_key;
        key.is_none_or(|key| key == self.config.placement_key)
    }

    pub(super) fn prefixes<'a>(&self, report: &'a Report) -> &'a [PrefixCount] {
        match self.has_key_of(report) {
            true => &report.prefixes,
            false => &[],
        }
    }

    /// The client of a request for it, which comes next, may come by another proxy.
    pub(super) fn on_held(&mut self, report: &Report) {
        let same_key = self.has_key_of(report);
        for held in report.held.iter().filter(|_| same_key) {
            let row = report.endpoints.get(usize::from(held.endpoint));
            let endpoint = row.and_then(|row| self.endpoints.get(&row.address));
            if let Some(endpoint) = endpoint {
                self.held.add(held.key, endpoint.id, self.sequence);
            }
        }
    }

    /// A proxy can not have moved more conversations than it decided requests. What was said later of one stays.
    pub(super) fn on_moved(&mut self, requests: u64, report: &Report, turn: Turn) {
        let most = match self.has_key_of(report) {
            true => usize::try_from(requests).unwrap_or(usize::MAX),
            false => 0,
        };
        for moved in report.moved.iter().take(most) {
            if turn == Turn::Late && self.moved.knows(moved.key) {
                continue;
            }
            let row = report.endpoints.get(usize::from(moved.endpoint));
            let endpoint = row.and_then(|row| self.endpoints.get(&row.address));
            if let Some(endpoint) = endpoint {
                self.moved.add(moved.key, endpoint.id, self.sequence);
            }
        }
    }
}
