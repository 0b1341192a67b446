//! Which endpoints are weighed: where the request's keys belong, and a few drawn at random.

use crate::config::{PREFIX_RANKS, RANK_PENALTY, SAMPLES};
use crate::rng::mix;
use crate::{Request, Rng, Snapshot};

/// Why an endpoint is weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Origin {
    #[default]
    Sample,
    Adapter,
    Prefix,
    Conversation,
}

/// One endpoint to weigh. An endpoint that comes up twice has the best of both.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Candidate {
    pub(crate) index: u32,
    pub(crate) origin: Origin,
    /// Prompt tokens expected in its cache.
    pub(crate) hit_tokens: u32,
    /// Tokens charged for not being the first rank.
    pub(crate) penalty_tokens: f64,
    /// The rank of this endpoint among those where the adapter is meant to live.
    pub(crate) adapter_rank: Option<u32>,
}

/// A bounded set of candidates, one per endpoint.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    list: [Candidate; Self::ROOM],
    len: usize,
}

impl Candidates {
    /// Room for candidates: 1 + 2 + 2 ranks and 2 samples, with space for more ranks of hot prefixes. On the stack, so
    /// that a decision allocates nothing.
    pub(crate) const ROOM: usize = 16;

    /// The candidates of a decision with a fresh table (3.6): first those of the keys, then the drawn ones in the
    /// order of the draws. A pool that has no more endpoints than this is weighed in full.
    pub(crate) fn gather(request: &Request, snapshot: &Snapshot, rng: &mut Rng) -> Self {
        let mut candidates = Self::affine(request, snapshot);
        for _ in 0..SAMPLES {
            // Always endpoints that are not weighed yet: a draw that repeats one tells nothing, and in a small pool it
            // would now and then leave only a busy endpoint to choose.
            if let Some(index) = snapshot.sample(rng, candidates.indices(&mut [0; Self::ROOM])) {
                candidates.add(Candidate {
                    index,
                    ..Candidate::default()
                });
            }
        }
        candidates
    }

    /// The endpoints where the request's keys belong.
    pub(crate) fn affine(request: &Request, snapshot: &Snapshot) -> Self {
        let mut candidates = Self::default();
        if let Some(conversation) = request.conversation
            && let Some(index) = snapshot.rank(conversation.key, 0)
        {
            let hit_tokens = conversation.history_tokens;
            candidates.add(Candidate {
                index,
                origin: Origin::Conversation,
                hit_tokens,
                ..Candidate::default()
            });
        }
        if let Some((prefix, key)) = request.prefix.zip(prefix_key(request)) {
            for rank in 0..PREFIX_RANKS {
                let Some(index) = snapshot.rank(key, rank) else {
                    continue;
                };
                let (origin, hit_tokens) = (Origin::Prefix, prefix.tokens);
                let penalty_tokens = RANK_PENALTY * f64::from(rank) * f64::from(prefix.tokens);
                candidates.add(Candidate {
                    index,
                    origin,
                    hit_tokens,
                    penalty_tokens,
                    ..Candidate::default()
                });
            }
        }
        if let Some(adapter) = request.adapter {
            for rank in 0..PREFIX_RANKS {
                let Some(index) = snapshot.rank(adapter.key, rank) else {
                    continue;
                };
                let (origin, adapter_rank) = (Origin::Adapter, Some(rank));
                candidates.add(Candidate {
                    index,
                    origin,
                    adapter_rank,
                    ..Candidate::default()
                });
            }
        }
        candidates
    }

    /// Adds a candidate, or improves the one for the same endpoint. What finds no room is left out.
    pub(crate) fn add(&mut self, new: Candidate) {
        let known = self
            .list
            .iter_mut()
            .take(self.len)
            .find(|known| known.index == new.index);
        if let Some(known) = known {
            let better = f64::from(new.hit_tokens) - new.penalty_tokens;
            if better > f64::from(known.hit_tokens) - known.penalty_tokens {
                known.hit_tokens = new.hit_tokens;
                known.penalty_tokens = new.penalty_tokens;
            }
            known.adapter_rank = known.adapter_rank.or(new.adapter_rank);
            known.origin = known.origin.max(new.origin);
        } else if let Some(slot) = self.list.get_mut(self.len) {
            *slot = new;
            self.len += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[Candidate] {
        self.list.get(..self.len).unwrap_or(&[])
    }

    /// The endpoints of all candidates, written to `room`.
    fn indices<'a>(&self, room: &'a mut [u32; Self::ROOM]) -> &'a mut [u32] {
        for (slot, candidate) in room.iter_mut().zip(self.as_slice()) {
            *slot = candidate.index;
        }
        room.get_mut(..self.len).unwrap_or_default()
    }

    /// The candidate for the endpoint at `index`.
    pub(crate) fn find(&self, index: u32) -> Option<&Candidate> {
        self.as_slice()
            .iter()
            .find(|candidate| candidate.index == index)
    }
}

/// The placement key of the request's prefix. Servers keep the cache of each adapter apart, so a prefix under another
/// adapter is another prefix.
pub(crate) fn prefix_key(request: &Request) -> Option<u64> {
    let prefix = request.prefix?;
    Some(
        request
            .adapter
            .map_or(prefix.key, |adapter| prefix.key ^ mix(adapter.key)),
    )
}
