//! Envoy's rule by own requests alone.

use trimtab_pick::{Booking, Decision, Policy, Rng, View};

use crate::{decision, draw};

/// Envoy's LEAST_REQUEST with equal weights and its default of two choices.
///
/// Two independent uniform draws. The one with fewer requests in flight wins, and the first one
/// wins a tie (`LeastRequestLoadBalancer::unweightedHostPickNChoices`).
///
/// Draws are with replacement. With N endpoints one request in N draws the same endpoint twice, and
/// goes there however busy it is. Requests in flight are this picker's, as in Envoy those of one
/// proxy.
#[derive(Debug, Default)]
pub struct LeastRequest;

impl Policy for LeastRequest {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, _: &Booking) -> Decision {
        let drawn = draw(view.snapshot(), rng).zip(draw(view.snapshot(), rng));
        let in_flight = |index| view.in_flight(index);
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
