//! Rules of others, for comparison in simulation.
//!
//! Each is a [`Policy`] that a [`Picker`] follows in place of its own rule, over the same books. It
//! sees no more of the picker than a [`View`](trimtab_pick::View) shows. Nothing that ships knows
//! this crate.
//!
//! | rule | whose | looks at |
//! |---|---|---|
//! | [`RoundRobin`] | Envoy's ROUND_ROBIN | nothing |
//! | [`Random`] | Envoy's RANDOM | nothing |
//! | [`LeastRequest`] | Envoy's LEAST_REQUEST | own requests in flight |
//! | [`PowerOfTwo`] | the literature | predicted waits, own unseen work |
//! | [`Epp`] | the reference endpoint picker | queues, KV caches, what it sent where |
//!
//! A [`Reason`] is a metric label of the filter, so baselines have none of their own. They say
//! [`Reason::Load`], whatever they decided by. They do not look at the table's age, because the
//! originals do not.
//!
//! [`Picker`]: trimtab_pick::Picker
//! [`Policy`]: trimtab_pick::Policy

#![forbid(unsafe_code)]

mod epp;
mod least_request;
mod power_of_two;
mod random;
mod round_robin;

pub use epp::{Epp, PromptBlocks};
pub use least_request::LeastRequest;
pub use power_of_two::PowerOfTwo;
pub use random::Random;
pub use round_robin::RoundRobin;

use trimtab_pick::{Decision, Reason, Rng, Snapshot};

/// Returns the decision for these endpoints, best first, out of `candidates` that were weighed.
fn decision(best: impl IntoIterator<Item = u32>, candidates: usize) -> Decision {
    Decision {
        choices: best.into_iter().collect(),
        candidates: u32::try_from(candidates).unwrap_or(u32::MAX),
        ..Decision::no_opinion(Reason::Load)
    }
}

/// Draws one of the endpoints that may be chosen, each with the same chance. As in Envoy: 64 random
/// bits modulo their number.
fn draw(snapshot: &Snapshot, rng: &mut Rng) -> Option<u32> {
    let choosable = snapshot.choosable();
    let at = rng.next_u64().checked_rem(choosable.len() as u64)?;
    choosable.get(usize::try_from(at).ok()?).copied()
}
