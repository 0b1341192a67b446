//! The rule that compares two rows of the table.

use std::iter;

use trimtab_pick::{Booking, Decision, Policy, Rng, View};

use crate::decision;

/// Power of two choices on the table (Mitzenmacher, How Useful Is Old Information, 2000).
///
/// Two different endpoints are drawn in proportion to speed. The one with the smaller load wins:
/// the table's wait and running requests, plus own work that the row has not seen. The first one
/// wins a tie, so that equal loads are shared in proportion to speed.
///
/// Shows what load alone can do with a stale table. The rule knows no cache. Two draws keep pickers
/// from all choosing the same endpoint.
///
/// Rejected: Prequal's rule of hot and cold rows (NSDI 2024), which has a quantile to set.
#[derive(Debug, Default)]
pub struct PowerOfTwo;

impl Policy for PowerOfTwo {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, _: &Booking) -> Decision {
        let Some(first) = view.snapshot().sample(rng, &mut []) else {
            return decision(None, 0);
        };
        let Some(second) = view.snapshot().sample(rng, &mut [first]) else {
            return told(view, first, None);
        };
        if view.load_s(second) < view.load_s(first) {
            told(view, second, Some(first))
        } else {
            told(view, first, Some(second))
        }
    }
}

/// Returns the decision for `best`, with its load as the wait where the table says the wait.
fn told(view: &View<'_>, best: u32, other: Option<u32>) -> Decision {
    let all = iter::once(best).chain(other);
    let wait_s = view.snapshot().endpoint(best).and_then(|row| row.wait_s);
    let known = wait_s.is_some_and(|wait_s| wait_s.is_finite() && wait_s >= 0.0);
    Decision {
        wait_s: known.then(|| view.load_s(best)),
        ..decision(all.clone(), all.count())
    }
}
