//! By own requests alone.

use super::{decision, draw};
use crate::rule::policy::{Policy, View};
use crate::{Booking, Decision, Rng};

/// Envoy's LEAST_REQUEST with equal weights and its default of two choices: two independent uniform draws, the one with
/// fewer requests in flight wins, the first one a tie (`LeastRequestLoadBalancer::unweightedHostPickNChoices`).
///
/// With replacement: once in as many requests as there are endpoints both draws are the same one, which then gets the
/// request however busy it is. In flight are this decider's requests, as in Envoy those of one proxy.
#[derive(Debug, Default)]
pub struct LeastRequest;

impl Policy for LeastRequest {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, _: &Booking) -> Decision {
        let drawn = draw(view.snapshot, rng).zip(draw(view.snapshot, rng));
        let in_flight = |index| view.inflight.in_flight(index);
        let best = drawn.map(|(first, second)| {
            if in_flight(second) < in_flight(first) {
                second
            } else {
                first
            }
        });
        decision(best, 2)
    }
}
