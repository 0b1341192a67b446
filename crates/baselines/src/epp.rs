//! What the reference endpoint picker does by default.

mod chains;
mod prefixes;

use std::collections::BTreeMap;

use trimtab_pick::{
    Booking, Decision, EndpointId, EndpointLoad, Millis, Policy, Request, Rng, Snapshot, View,
};

use crate::decision;
use chains::Chains;
pub use chains::PromptBlocks;
use prefixes::{Prefixes, Prompt};

const QUEUE_WEIGHT: f64 = 2.0;
const KV_WEIGHT: f64 = 2.0;
const PREFIX_WEIGHT: f64 = 3.0;

/// The default scorers of the Gateway API Inference Extension's endpoint picker, v1.5.0. Its
/// successor llm-d-router has the same scorers and weights, and cuts prompts into larger blocks,
/// see [`PromptBlocks`]. The endpoint with the highest sum wins:
///
/// - 2 x queue: `(max - q) / (max - min)` over the pool, 1 when all are equal (`queue-scorer`),
/// - 2 x KV cache: `1 - used` (`kv-cache-utilization-scorer`),
/// - 3 x prefix: matched / all blocks of the prompt, by its own memory of what it sent where
///   (`prefix-cache-scorer`).
///
/// Ties are drawn (`max-score-picker` shuffles before it sorts). Speeds and lengths of prompts do
/// not count. An adapter only makes another prompt (`lora-affinity-scorer` is no default). A signal
/// that is absent scores 0. The original keeps the last value instead, which a table does not have.
/// O(endpoints) per decision, as there.
#[derive(Debug)]
pub struct Epp {
    count_in_flight: bool,
    prefixes: Prefixes,
    /// Absent: prompts are known by their keys alone.
    chains: Option<Chains>,
}

/// What is remembered of one prompt.
#[derive(Debug)]
enum Found {
    /// By its keys.
    Keys(Prompt),
    /// How many of its blocks each endpoint has, and how many blocks it has.
    Blocks(BTreeMap<EndpointId, u32>, u32),
}

impl Epp {
    /// Creates the scorers with an empty memory.
    ///
    /// - `count_in_flight`: a queue is what the table says plus what this picker has sent there
    ///   since. The original does not do that. It is an idealised variant, in which pickers do not
    ///   all choose the same endpoint.
    #[must_use]
    pub fn new(count_in_flight: bool) -> Self {
        Self {
            count_in_flight,
            prefixes: Prefixes::default(),
            chains: None,
        }
    }

    /// Creates scorers that know prompts by the hashes of their own blocks, as the original does,
    /// and not by the keys of requests. So a shared beginning is found even where nothing marks it.
    ///
    /// - `blocks`: the caller sets each prompt there before its decision.
    #[must_use]
    pub fn with_blocks(count_in_flight: bool, blocks: PromptBlocks) -> Self {
        Self {
            chains: Some(Chains::new(blocks)),
            ..Self::new(count_in_flight)
        }
    }

    fn found(&self, request: &Request) -> Found {
        match &self.chains {
            Some(chains) => {
                let (matched, blocks) = chains.matched();
                Found::Blocks(matched, blocks)
            }
            None => Found::Keys(Prompt::of(request)),
        }
    }

    fn prefix_score(&self, endpoint: EndpointId, found: &Found) -> f64 {
        match found {
            Found::Keys(prompt) => self.prefixes.score(endpoint, prompt),
            Found::Blocks(matched, blocks) => {
                let matched = matched.get(&endpoint).copied().unwrap_or(0);
                f64::from(matched) / f64::from((*blocks).max(1))
            }
        }
    }

    fn queue(&self, view: &View<'_>, index: u32) -> Option<u64> {
        let waiting = view.snapshot().endpoint(index)?.waiting?;
        let sent = match self.count_in_flight {
            true => view.unseen_requests(index),
            false => 0,
        };
        Some(u64::from(waiting) + u64::from(sent))
    }

    /// Returns the endpoint's score.
    ///
    /// - `queues`: the shortest and the longest queue of the pool.
    fn score(&self, view: &View<'_>, index: u32, queues: (u64, u64), found: &Found) -> f64 {
        let Some(endpoint) = view.snapshot().endpoint(index) else {
            return 0.0;
        };
        let queue = self.queue(view, index);
        QUEUE_WEIGHT * queue.map_or(0.0, |queue| queue_score(queue, queues))
            + KV_WEIGHT * kv_score(endpoint)
            + PREFIX_WEIGHT * self.prefix_score(endpoint.id, found)
    }
}

impl Policy for Epp {
    fn choose(&mut self, view: &View<'_>, rng: &mut Rng, booking: &Booking) -> Decision {
        self.prefixes.forget_those_not_in(view.snapshot());
        if let Some(chains) = &mut self.chains {
            chains.forget_those_not_in(view.snapshot());
        }
        let all = view.snapshot().choosable();
        let queues = all.iter().filter_map(|index| self.queue(view, *index));
        let queues = queues.fold((u64::MAX, 0), |(shortest, longest), queue| {
            (shortest.min(queue), longest.max(queue))
        });
        let found = self.found(booking.request());
        let scores = all
            .iter()
            .map(|index| (*index, self.score(view, *index, queues, &found)));
        decision(highest(scores, rng), all.len())
    }

    fn expected_hit(&self, snapshot: &Snapshot, booking: &Booking, index: u32) -> u32 {
        let Some(endpoint) = snapshot.endpoint(index) else {
            return 0;
        };
        match &self.chains {
            Some(chains) => chains.matched_tokens(endpoint.id),
            None => self
                .prefixes
                .matched_tokens(endpoint.id, &Prompt::of(booking.request())),
        }
    }

    fn on_sent(
        &mut self,
        _: Millis,
        _: &Snapshot,
        endpoint: EndpointId,
        booking: &Booking,
        _: bool,
    ) {
        match &mut self.chains {
            Some(chains) => chains.on_sent(endpoint),
            None => self
                .prefixes
                .on_sent(endpoint, &Prompt::of(booking.request())),
        }
    }
}

/// Returns the endpoint with the highest score. Equals have the same chance.
fn highest(scores: impl Iterator<Item = (u32, f64)>, rng: &mut Rng) -> Option<u32> {
    let (mut best, mut equals) = (None, 0_u64);
    for (index, score) in scores {
        match best {
            Some((_, highest)) if score < highest => continue,
            Some((_, highest)) if score == highest => equals += 1,
            _ => equals = 1,
        }
        // The n-th of equals takes the place with a chance of 1/n, so in the end all had the same
        // chance.
        if rng.next_u64().is_multiple_of(equals) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

/// `queue` lies between `shortest` and `longest`.
fn queue_score(queue: u64, (shortest, longest): (u64, u64)) -> f64 {
    if shortest == longest {
        return 1.0;
    }
    longest.saturating_sub(queue) as f64 / longest.saturating_sub(shortest) as f64
}

fn kv_score(endpoint: &EndpointLoad) -> f64 {
    let used = endpoint
        .kv_used
        .filter(|used| used.is_finite() && *used >= 0.0);
    used.map_or(0.0, |used| 1.0 - f64::from(used.min(1.0)))
}
