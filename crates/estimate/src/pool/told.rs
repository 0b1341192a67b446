//! Lists of reports by key: shared beginnings of prompts, conversations that went elsewhere, what endpoints keep.

use super::Pool;
use crate::heat::Heat;
use crate::held::Held;
use crate::moved::MovedList;
use crate::turn::Turn;
use std::time::Duration;
use trimtab_loadtable::{EndpointReport, Moved, PrefixCount, Report};

/// The lists of one report. Keys that were made under another placement key mean nothing here: then all are empty.
#[derive(Debug, Default)]
pub(super) struct Told<'r> {
    pub(super) prefixes: &'r [PrefixCount],
    moved: &'r [Moved],
    pub(super) held: &'r [Moved],
    endpoints: &'r [EndpointReport],
}

impl Pool {
    /// Takes over the placement key of the aggregator before this one, and forgets what came under its own.
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

    /// The id of the endpoint that a list names; absent: it is not listed any more.
    fn endpoint_of(&self, told: &Told<'_>, place: &Moved) -> Option<u32> {
        let row = told.endpoints.get(usize::from(place.endpoint))?;
        Some(self.endpoints.get(&row.address)?.id)
    }

    /// The client of a request for it, which comes next, may come by another proxy.
    pub(super) fn on_held(&mut self, told: &Told<'_>) {
        for held in told.held {
            if let Some(endpoint) = self.endpoint_of(told, held) {
                self.held.add(held.key, endpoint, self.sequence);
            }
        }
    }

    /// A proxy can not have moved more conversations than it decided requests. What was said later of one stays.
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

    /// A later report, in which these requests were counted, has overtaken this one.
    pub(super) fn on_late(&mut self, now: Duration, decided: u64, told: &Told<'_>) {
        self.heat.add(now, 0, decided, told.prefixes);
        self.on_moved(decided, told, Turn::Late);
    }
}
