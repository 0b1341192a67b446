//! Which endpoints are weighed: those where the request's keys belong, and a few from under the
//! water level.

use crate::config::{FEW_RANKS, HOT_RANKS_KNOWN, RANK_PENALTY, SAMPLES};
use crate::rng::mix;
use crate::table::spread::Spread;
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

/// One endpoint to weigh. An endpoint that comes up twice keeps the better hit and the stronger
/// origin.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Candidate {
    pub(crate) index: u32,
    pub(crate) origin: Origin,
    /// Prompt tokens expected in its cache.
    pub(crate) hit_tokens: u32,
    /// Tokens charged because the endpoint is not the first rank.
    pub(crate) penalty_tokens: f64,
    /// The endpoint's rank among the ranks of the adapter. `None`: it has no such rank.
    pub(crate) adapter_rank: Option<u32>,
}

/// A bounded set of candidates, one per endpoint.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    list: [Candidate; Self::ROOM],
    len: usize,
}

impl Candidates {
    /// Room for the home, 3 prefix ranks, 3 holders of the adapter, 3 adapter ranks, 8 samples and
    /// 2 draws by speed, with some to spare. On the stack, so that a decision allocates nothing.
    const ROOM: usize = 24;

    /// Returns the endpoints where the request's keys belong.
    ///
    /// - `home`: the index of the endpoint where the request's conversation is.
    pub(crate) fn affine(
        request: &Request,
        home: Option<u32>,
        snapshot: &Snapshot,
        rng: &mut Rng,
    ) -> Self {
        let mut candidates = Self::default();
        candidates.add_home(request, home);
        candidates.add_prefix_ranks(request, snapshot, rng);
        candidates.add_adapter_ranks(request, snapshot, rng);
        candidates
    }

    /// Adds the `under` endpoints with the shortest waits. If they are more than [`SAMPLES`], adds
    /// [`SAMPLES`] draws from them instead. Two draws may give the same endpoint.
    pub(crate) fn add_samples(&mut self, under: usize, snapshot: &Snapshot, rng: &mut Rng) {
        let level = snapshot.level();
        let mut add = |index: Option<u32>| {
            if let Some(index) = index {
                self.add(Candidate {
                    index,
                    ..Candidate::default()
                });
            }
        };
        if under <= SAMPLES {
            // Of equally cheap draws the first one added wins. So one is drawn first.
            add(level.draw(under, rng));
            (0..under).for_each(|nth| add(level.nth(nth)));
        } else {
            (0..SAMPLES).for_each(|_| add(level.draw(under, rng)));
        }
    }

    /// Adds two endpoints drawn by speed, whatever their waits.
    pub(crate) fn add_any(&mut self, snapshot: &Snapshot, rng: &mut Rng) {
        let first = snapshot.sample(rng, &mut []);
        let second = first.and_then(|first| snapshot.sample(rng, &mut [first]));
        for index in [first, second].into_iter().flatten() {
            self.add(Candidate {
                index,
                ..Candidate::default()
            });
        }
    }

    fn add_home(&mut self, request: &Request, home: Option<u32>) {
        let Some((conversation, index)) = request.conversation.zip(home) else {
            return;
        };
        self.add(Candidate {
            index,
            origin: Origin::Conversation,
            hit_tokens: conversation.history_tokens,
            ..Candidate::default()
        });
    }

    /// Adds the ranks of a shared beginning that this request looks at.
    fn add_prefix_ranks(&mut self, request: &Request, snapshot: &Snapshot, rng: &mut Rng) {
        let Some((prefix, key)) = request.prefix.zip(prefix_key(request)) else {
            return;
        };
        let tokens = f64::from(prefix.tokens);
        Spread::of_prefix(key, snapshot).each(snapshot, rng, |rank| {
            self.add(Candidate {
                index: rank.index,
                origin: Origin::Prefix,
                hit_tokens: (rank.warm * tokens) as u32,
                penalty_tokens: RANK_PENALTY * f64::from(rank.number) * tokens,
                ..Candidate::default()
            });
        });
    }

    fn add_adapter_ranks(&mut self, request: &Request, snapshot: &Snapshot, rng: &mut Rng) {
        let Some(adapter) = request.adapter else {
            return;
        };
        // The table says which endpoints have the adapter. The ranks say which endpoints should
        // have it.
        let holders = adapter
            .index
            .map_or(&[][..], |index| snapshot.holders(index));
        let first = (rng.unit() * holders.len() as f64) as usize;
        let from_first = holders.iter().cycle().skip(first);
        let few = from_first.take(holders.len().min(FEW_RANKS as usize));
        for index in few.filter(|index| snapshot.may_choose(**index)) {
            self.add(Candidate {
                index: *index,
                origin: Origin::Adapter,
                ..Candidate::default()
            });
        }
        Spread::of_adapter(adapter.key, snapshot).each(snapshot, rng, |rank| {
            self.add(Candidate {
                index: rank.index,
                origin: Origin::Adapter,
                adapter_rank: Some(rank.number),
                ..Candidate::default()
            });
        });
    }

    /// Adds a candidate, or improves the candidate of the same endpoint. Drops it if there is no
    /// room.
    fn add(&mut self, new: Candidate) {
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
}

/// Returns how many prompt tokens of the request the endpoint at `index` is expected to have
/// cached, by where the request's keys belong. O(ranks of the prefix), bounded.
///
/// - `home`: the index of the endpoint where the request's conversation is.
pub(crate) fn expected_hit(
    request: &Request,
    home: Option<u32>,
    snapshot: &Snapshot,
    index: u32,
) -> u32 {
    let history = request
        .conversation
        .filter(|_| home == Some(index))
        .map_or(0, |conversation| conversation.history_tokens);
    let Some((prefix, key)) = request.prefix.zip(prefix_key(request)) else {
        return history;
    };
    let spread = Spread::of_prefix(key, snapshot);
    // A beginning with so many ranks is nearly everywhere.
    let warm = match spread.len() > HOT_RANKS_KNOWN {
        true => 1.0,
        false => spread.warm_at(index, snapshot),
    };
    history.max((warm * f64::from(prefix.tokens)) as u32)
}

/// Returns the placement keys that many requests share: that of the shared beginning and that of
/// the adapter. Reports count these keys, and the heat list names them.
pub(crate) fn shared_keys(request: &Request) -> impl Iterator<Item = u64> + use<> {
    let adapter = request.adapter.map(|adapter| adapter.key);
    prefix_key(request).into_iter().chain(adapter)
}

/// Returns the placement key of the request's prefix. Servers keep a separate cache for each
/// adapter, so the same prefix under another adapter has another key.
pub(crate) fn prefix_key(request: &Request) -> Option<u64> {
    let prefix = request.prefix?;
    Some(
        request
            .adapter
            .map_or(prefix.key, |adapter| prefix.key ^ mix(adapter.key)),
    )
}
