//! Chooses without a fresh table, by this picker's own requests alone (docs/algorithm.md#fallback).
//!
//! This is as good as the proxy's own least-request, and keeps caches warm where there is a key.

use crate::config::{BOUNDED_LOAD, STALE_RANKS};
use crate::decision::{Choices, Decision, Reason};
use crate::own::ledger::Ledger;
use crate::rule::candidates::prefix_key;
use crate::{Booking, Request, Rng, Snapshot};

/// Chooses among the endpoints of an old table.
pub(crate) fn choose(
    request: &Request,
    snapshot: &Snapshot,
    inflight: &Ledger,
    rng: &mut Rng,
) -> Decision {
    let mut choices = Choices::default();
    let (reason, candidates) = match key(request) {
        Some(key) => (
            Reason::StaleAffinity,
            bounded_hash(key, snapshot, inflight, &mut choices),
        ),
        None => (
            Reason::StaleLoad,
            two_choices(snapshot, inflight, rng, &mut choices),
        ),
    };
    Decision {
        choices,
        reason,
        wait_s: None,
        candidates,
        left_out: 0,
        booking: Booking::default(),
    }
}

/// Returns the key that ties the request to a place. The first of:
///
/// 1. the conversation, if it has a history;
/// 2. the shared prefix;
/// 3. the adapter;
/// 4. the conversation that begins here.
fn key(request: &Request) -> Option<u64> {
    let conversation = request.conversation;
    let past = conversation.filter(|conversation| conversation.history_tokens > 0);
    let past = past.map(|conversation| conversation.key);
    let adapter = request.adapter.map(|adapter| adapter.key);
    past.or_else(|| prefix_key(request))
        .or(adapter)
        .or_else(|| conversation.map(|conversation| conversation.key))
}

/// Consistent hashing with bounded loads. Lists the ranks of the key that are within bounds, in
/// order, and then the least loaded rank. If no rank is within bounds, the least loaded one is the
/// choice.
///
/// Returns how many ranks were looked at.
fn bounded_hash(key: u64, snapshot: &Snapshot, inflight: &Ledger, choices: &mut Choices) -> u32 {
    let ranks = || (0..STALE_RANKS).filter_map(|rank| snapshot.rank(key, rank));
    ranks()
        .filter(|index| within_bounds(*index, snapshot, inflight))
        .for_each(|index| choices.push(index));
    let load = |index: &u32| own_load(*index, snapshot, inflight);
    if let Some(least) = ranks().min_by(|a, b| load(a).total_cmp(&load(b))) {
        choices.push(least);
    }
    STALE_RANKS
}

/// Returns whether one more request keeps the endpoint within [`BOUNDED_LOAD`] of its share. The
/// bound is rounded up, as in the paper, so that an idle endpoint always has room for one request.
fn within_bounds(index: u32, snapshot: &Snapshot, inflight: &Ledger) -> bool {
    let Some(row) = snapshot.row(index) else {
        return false;
    };
    let share = row.speed / snapshot.total_speed();
    let bound = libm::ceil(BOUNDED_LOAD * share * (inflight.total() as f64 + 1.0));
    f64::from(inflight.in_flight(index)) + 1.0 <= bound
}

/// Power of two choices on own requests per speed. Like Envoy's least-request, but the two
/// endpoints are always different. Returns how many endpoints were looked at.
fn two_choices(
    snapshot: &Snapshot,
    inflight: &Ledger,
    rng: &mut Rng,
    choices: &mut Choices,
) -> u32 {
    let Some(first) = snapshot.sample(rng, &mut []) else {
        return 0;
    };
    let Some(second) = snapshot.sample(rng, &mut [first]) else {
        choices.push(first);
        return 1;
    };
    let load = |index| own_load(index, snapshot, inflight);
    // The first draw wins a tie, so that idle endpoints get requests in proportion to speed.
    let (best, other) = if load(second) < load(first) {
        (second, first)
    } else {
        (first, second)
    };
    choices.push(best);
    choices.push(other);
    2
}

fn own_load(index: u32, snapshot: &Snapshot, inflight: &Ledger) -> f64 {
    let speed = snapshot.row(index).map_or(1.0, |row| row.speed);
    (f64::from(inflight.in_flight(index)) + 1.0) / speed
}
