//! Takes in the lists of a report: shared beginnings of prompts, conversations that moved, and what
//! endpoints hold.

use super::Pool;
use crate::heat::Heat;
use crate::held::Held;
use crate::moved::MovedList;
use crate::turn::Turn;
use std::time::Duration;
use trimtab_loadtable::{EndpointReport, Moved, PrefixCount, Report};

/// The lists of one report. All are empty if their keys were made under another placement key.
#[derive(Debug, Default)]
pub(super) struct Told<'r> {
    pub(super) prefixes: &'r [PrefixCount],
    moved: &'r [Moved],
    pub(super) held: &'r [Moved],
    endpoints: &'r [EndpointReport],
}

impl Pool {
    /// Takes over the placement key of the aggregator before this one. Forgets what came under its
    /// own.
    pub fn set_placement_key(&mut self, key: [u8; 16]) {
        self.config.placement_key = key;
        self.heat = Heat::default();
        self.moved = MovedList::default();
        self.held = Held::default();
    }

    pub(super) fn told<'r>(&self, report: &'r Report) -> Told<'r> {
        let key = report.placement_key;
        if key.is_some_and(|key| key != self.config.placement_key) {
            return Told::default();
        }
        Told {
            prefixes: &report.prefixes,
            moved: &report.moved,
            held: &report.held,
            endpoints: &report.endpoints,
        }
    }

    /// Returns the id of the endpoint that a list names. `None`: it has left the pool.
    fn endpoint_of(&self, told: &Told<'_>, place: &Moved) -> Option<u32> {
        let row = told.endpoints.get(usize::from(place.endpoint))?;
        Some(self.endpoints.get(&row.address)?.id)
    }

    /// Records what endpoints newly hold. The next request for it may come by another proxy.
    pub(super) fn on_held(&mut self, told: &Told<'_>) {
        for held in told.held {
            if let Some(endpoint) = self.endpoint_of(told, held) {
                self.held.add(held.key, endpoint, self.sequence);
            }
        }
    }

    /// Records conversations that moved. A proxy cannot have moved more of them than it decided
    /// requests. A late report does not replace what a later one said.
    pub(super) fn on_moved(&mut self, requests: u64, told: &Told<'_>, turn: Turn) {
        let most = usize::try_from(requests).unwrap_or(usize::MAX);
        for moved in told.moved.iter().take(most) {
            if turn == Turn::Late && self.moved.knows(moved.key) {
                continue;
            }
            if let Some(endpoint) = self.endpoint_of(told, moved) {
                self.moved.add(moved.key, endpoint, self.sequence);
            }
        }
    }

    /// Takes in the lists of a report that a later one has overtaken. The later report has already
    /// counted these requests.
    pub(super) fn on_late(&mut self, now: Duration, decided: u64, told: &Told<'_>) {
        self.heat.add(now, 0, decided, told.prefixes);
        self.on_moved(decided, told, Turn::Late);
    }
}
