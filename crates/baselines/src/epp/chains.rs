//! What the picker has sent where, by the hashes of the prompts' own blocks, as the original
//! remembers it.
//!
//! A [`Request`](trimtab_pick::Request) holds what a filter can know of a prompt. The original
//! reads the whole prompt. So a program that compares with it sets the hashes beside the request.
//!
//! For each server the last 500,000 tokens are kept, block by block (the original: 31,250 blocks of
//! 16 tokens by default). A prompt matches as many blocks from its beginning on as some server has,
//! 256 at most.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use trimtab_pick::{EndpointId, Snapshot};

/// `maxPrefixBlocksToMatch`: blocks behind these are neither matched nor kept.
const BLOCKS_MATCHED: usize = 256;
/// `lruCapacityPerServer`, in tokens.
const CAPACITY_TOKENS: u32 = 500_000;

/// The blocks of the prompt that is decided on next. Clones share the blocks: one stays with the
/// program that knows the prompts, the other goes into
/// [`Epp::with_blocks`](super::Epp::with_blocks).
#[derive(Clone)]
pub struct PromptBlocks {
    block_tokens: u32,
    hashes: Rc<Cell<Vec<u64>>>,
}

impl fmt::Debug for PromptBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = self.with(<[u64]>::len);
        write!(f, "{blocks} blocks of {} tokens", self.block_tokens)
    }
}

impl PromptBlocks {
    /// Creates an empty prompt.
    ///
    /// - `block_tokens`: tokens of a block. 0 counts as 1. The original has 16 by default. Larger
    ///   blocks reach further into long prompts.
    #[must_use]
    pub fn new(block_tokens: u32) -> Self {
        Self {
            block_tokens: block_tokens.max(1),
            hashes: Rc::default(),
        }
    }

    /// Returns the tokens of a block, at least 1.
    #[must_use]
    pub fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// Sets the prompt that is decided on next. Call this before each decision. It holds until the
    /// next call.
    ///
    /// - `hashes`: one for each whole block of the prompt, over all blocks before it and the
    ///   adapter.
    pub fn set(&self, hashes: impl IntoIterator<Item = u64>) {
        let mut held = self.hashes.take();
        held.clear();
        held.extend(hashes.into_iter().take(BLOCKS_MATCHED));
        self.hashes.set(held);
    }

    fn with<T>(&self, look: impl FnOnce(&[u64]) -> T) -> T {
        let held = self.hashes.take();
        let found = look(&held);
        self.hashes.set(held);
        found
    }
}

/// Which endpoints were sent a block, and when last.
type Holders = Vec<(EndpointId, u64)>;

/// The memory of all endpoints.
#[derive(Debug)]
pub(super) struct Chains {
    prompt: PromptBlocks,
    holders: BTreeMap<u64, Holders>,
    sent: BTreeMap<EndpointId, Lru>,
    uses: u64,
}

/// The blocks of one endpoint.
#[derive(Debug, Default)]
struct Lru {
    blocks: usize,
    /// Every use, oldest first. A use that a later use of the same block follows has no meaning.
    uses: VecDeque<(u64, u64)>,
}

impl Chains {
    pub(super) fn new(prompt: PromptBlocks) -> Self {
        Self {
            prompt,
            holders: BTreeMap::new(),
            sent: BTreeMap::new(),
            uses: 0,
        }
    }

    /// Returns how many blocks of the prompt each endpoint should have, and how many the prompt
    /// has. An endpoint that is not listed has none.
    pub(super) fn matched(&self) -> (BTreeMap<EndpointId, u32>, u32) {
        self.prompt.with(|hashes| {
            let mut matched = BTreeMap::new();
            for holders in hashes.iter().map_while(|hash| self.holders.get(hash)) {
                for (endpoint, _) in holders {
                    *matched.entry(*endpoint).or_default() += 1;
                }
            }
            (matched, u32::try_from(hashes.len()).unwrap_or(u32::MAX))
        })
    }

    /// Returns the tokens of the prompt that the endpoint should have.
    pub(super) fn matched_tokens(&self, endpoint: EndpointId) -> u32 {
        let (matched, _) = self.matched();
        let blocks = matched.get(&endpoint).copied().unwrap_or(0);
        blocks.saturating_mul(self.prompt.block_tokens)
    }

    /// Records that the prompt went to `endpoint`.
    pub(super) fn on_sent(&mut self, endpoint: EndpointId) {
        let capacity = (CAPACITY_TOKENS / self.prompt.block_tokens) as usize;
        let (holders, uses) = (&mut self.holders, &mut self.uses);
        let lru = self.sent.entry(endpoint).or_default();
        self.prompt.with(|hashes| {
            for hash in hashes {
                *uses += 1;
                let who = holders.entry(*hash).or_default();
                match who.iter_mut().find(|(id, _)| *id == endpoint) {
                    Some((_, used)) => *used = *uses,
                    None => {
                        who.push((endpoint, *uses));
                        lru.blocks += 1;
                    }
                }
                lru.uses.push_back((*hash, *uses));
            }
        });
        while lru.blocks > capacity {
            let Some((hash, used)) = lru.uses.pop_front() else {
                return;
            };
            if is_last(holders, endpoint, hash, used) {
                drop_holder(holders, endpoint, hash);
                lru.blocks -= 1;
            }
        }
        if lru.uses.len() > 2 * lru.blocks + 4 * BLOCKS_MATCHED {
            lru.uses
                .retain(|(hash, used)| is_last(holders, endpoint, *hash, *used));
        }
    }

    /// Drops endpoints that left the table, once there are more than it has. So memory follows the
    /// pool.
    pub(super) fn forget_those_not_in(&mut self, snapshot: &Snapshot) {
        if self.sent.len() <= snapshot.endpoints().len() {
            return;
        }
        let stays = |id: &EndpointId| snapshot.index_of(*id).is_some();
        self.sent.retain(|id, _| stays(id));
        self.holders.retain(|_, who| {
            who.retain(|(id, _)| stays(id));
            !who.is_empty()
        });
    }
}

/// Returns whether this was the last use of the block at the endpoint.
fn is_last(holders: &BTreeMap<u64, Holders>, endpoint: EndpointId, hash: u64, used: u64) -> bool {
    let who = holders.get(&hash);
    who.is_some_and(|who| who.contains(&(endpoint, used)))
}

fn drop_holder(holders: &mut BTreeMap<u64, Holders>, endpoint: EndpointId, hash: u64) {
    let Some(who) = holders.get_mut(&hash) else {
        return;
    };
    who.retain(|(id, _)| *id != endpoint);
    if who.is_empty() {
        holders.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use trimtab_pick::Rng;

    use super::*;

    /// The obvious way: the blocks of one endpoint, the one used longest ago first.
    #[derive(Default)]
    struct Naive(Vec<u64>);

    impl Naive {
        fn put(&mut self, hashes: &[u64], capacity: usize) {
            for hash in hashes {
                self.0.retain(|other| other != hash);
                self.0.push(*hash);
            }
            let surplus = self.0.len().saturating_sub(capacity);
            self.0.drain(..surplus);
        }
    }

    #[test]
    fn blocks_are_found_and_forgotten_as_by_a_naive_list_of_each_endpoint() {
        // Blocks of 10,000 tokens each, so that 50 fit.
        let prompt = PromptBlocks::new(10_000);
        let mut chains = Chains::new(prompt.clone());
        let mut naive: [Naive; 3] = Default::default();
        let mut script = Rng::new(1);
        let mut found = 0;
        for _ in 0..500 {
            let (family, length) = (script.next_u64() % 12, 1 + script.next_u64() % 20);
            let hashes: Vec<u64> = (0..length).map(|at| family * 100 + at).collect();
            prompt.set(hashes.iter().copied());
            let held_by = |hash: &u64| naive.iter().filter(|one| one.0.contains(hash)).count();
            let walk: Vec<u64> = hashes
                .iter()
                .copied()
                .take_while(|hash| held_by(hash) > 0)
                .collect();
            let (matched, blocks) = chains.matched();
            assert_eq!(u64::from(blocks), length);
            for (id, naive) in (0..).zip(&naive) {
                let expected = walk.iter().filter(|hash| naive.0.contains(hash)).count();
                let matched = matched.get(&EndpointId(id)).copied().unwrap_or(0);
                assert_eq!(matched as usize, expected);
                assert_eq!(chains.matched_tokens(EndpointId(id)), matched * 10_000);
                found += expected;
            }
            let to = script.next_u64() % 3;
            chains.on_sent(EndpointId(to));
            if let Some(naive) = naive.get_mut(to as usize) {
                naive.put(&hashes, 50);
            }
        }
        assert!(found > 1_000, "{found}");
        let kept = chains.sent.values().map(|lru| lru.uses.len()).max();
        assert!(kept.is_some_and(|kept| kept < 1_300), "{kept:?}");
    }

    #[test]
    fn what_lies_behind_256_blocks_does_not_count() {
        let prompt = PromptBlocks::new(16);
        let mut chains = Chains::new(prompt.clone());
        prompt.set(0..1_000);
        chains.on_sent(EndpointId(7));
        let (matched, blocks) = chains.matched();
        assert_eq!((matched.get(&EndpointId(7)), blocks), (Some(&256), 256));
        prompt.set([]);
        assert_eq!(chains.matched_tokens(EndpointId(7)), 0);
    }
}
