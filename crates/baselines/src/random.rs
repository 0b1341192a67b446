//! Envoy's rule that looks at nothing.

use trimtab_pick::{Booking, Decision, Policy, Rng, View};

use crate::{decision, draw};

/// Envoy's RANDOM: one of the endpoints that may be chosen, each with the same chance.
///
/// Uniform and not in proportion to speed, because Envoy knows no speeds. What a table adds to a
/// random choice is in [`PowerOfTwo`](super::PowerOfTwo).
#[derive(Debug, Default)]
pub struct Random;

impl Policy for Random {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, _: &Booking) -> Decision {
        decision(draw(view.snapshot(), rng), 1)
    }
}
