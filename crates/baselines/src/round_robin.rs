//! Envoy's rule that takes one endpoint after the other.

use trimtab_pick::{Booking, Decision, EndpointId, Policy, Rng, View};

use crate::{decision, draw};

/// Envoy's ROUND_ROBIN with equal weights: the endpoints that may be chosen, in the order of the
/// list. The first one is random, so that proxies do not go in step (`RoundRobinLoadBalancer`,
/// whose counter starts at a random seed).
///
/// Departs from Envoy where the list changes. Envoy takes its counter modulo the new length, which
/// may jump to any endpoint. Here the next endpoint is the one behind the last, or the one in the
/// last one's place if that is gone. So comparisons do not depend on how often members change.
#[derive(Debug, Default)]
pub struct RoundRobin {
    last: Option<Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    endpoint: EndpointId,
    index: u32,
}

impl Policy for RoundRobin {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, _: &Booking) -> Decision {
        let choosable = view.snapshot().choosable();
        let next = match self.last {
            None => draw(view.snapshot(), rng),
            Some(last) => {
                let from = last.following(view);
                let at = choosable.partition_point(|index| *index < from);
                choosable.get(at).or_else(|| choosable.first()).copied()
            }
        };
        let id = |index| view.snapshot().endpoint(index).map(|endpoint| endpoint.id);
        self.last = next
            .zip(next.and_then(id))
            .map(|(index, endpoint)| Turn { endpoint, index });
        decision(next, 1)
    }
}

impl Turn {
    /// Returns the index that is next in the newest table.
    fn following(&self, view: &View<'_>) -> u32 {
        let there = view.snapshot().endpoint(self.index);
        if there.is_some_and(|endpoint| endpoint.id == self.endpoint) {
            return self.index.saturating_add(1);
        }
        match view.snapshot().index_of(self.endpoint) {
            Some(moved) => moved.saturating_add(1),
            // Those behind it have moved up into its place.
            None => self.index,
        }
    }
}
