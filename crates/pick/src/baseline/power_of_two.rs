//! The rule that compares two rows of the table.

use super::decision;
use crate::rule::policy::{Policy, View};
use crate::{Booking, Decision, Rng};

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
        let Some(first) = view.snapshot.sample(rng, &mut []) else {
            return decision(None, 0);
        };
        let Some(second) = view.snapshot.sample(rng, &mut [first]) else {
            return told(view, first, 1);
        };
        let (best, other) = if wait_s(view, second) < wait_s(view, first) {
            (second, first)
        } else {
            (first, second)
        };
        let mut decision = told(view, best, 2);
        decision.choices.push(other);
        decision
    }
}

fn wait_s(view: &View<'_>, index: u32) -> f64 {
    let told_s = view
        .snapshot
        .row(index)
        .map_or(f64::INFINITY, crate::table::row::Row::load_s);
    told_s + view.inflight.unseen_s(index)
}

/// The decision for `best`, with its load as the wait where the table says the wait.
fn told(view: &View<'_>, best: u32, candidates: usize) -> Decision {
    let known = view.snapshot.row(best).is_some_and(|row| row.wait_known);
    Decision {
        wait_s: known.then(|| wait_s(view, best)),
        ..decision(Some(best), candidates)
    }
}
