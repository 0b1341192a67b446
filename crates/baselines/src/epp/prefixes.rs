//! What the picker has sent where, as far as it remembers.
//!
//! The original:
//!
//! - cuts a prompt into blocks of 64 characters (16 tokens) and leaves out a rest;
//! - hashes each block together with all blocks before it;
//! - keeps the last 31,250 blocks for each server, in an LRU list;
//! - matches as many blocks as it finds from the prompt's beginning, 256 at most.
//!
//! Here a prompt is known by its keys, so blocks come in runs: the run of the shared prefix, and
//! the rest. Later turns of the same conversation find the rest again, and other prompts do not.
//!
//! What differs:
//!
//! - A run is forgotten as a whole. The original loses block by block, from the front of the oldest
//!   prompt. A prompt without its first block matches nothing there either, unless another server
//!   has that block.
//! - A beginning that two prompts share without a key of ours is not found.
//! - An endpoint that left is forgotten with the next decision, and in the original within two
//!   minutes.

use std::collections::BTreeMap;

use trimtab_pick::{EndpointId, Request, Snapshot};

/// 64 characters, at 4 per token.
const BLOCK_TOKENS: u32 = 16;
/// `maxPrefixBlocksToMatch`: blocks behind these are neither matched nor kept.
const BLOCKS_MATCHED: u32 = 256;
/// `lruCapacityPerServer`.
const CAPACITY_BLOCKS: u64 = 31_250;

/// One prompt, in whole blocks from its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prompt {
    blocks: u32,
    prefix: Option<(Key, u32)>,
    /// With the number of blocks that an earlier turn had.
    conversation: Option<(Key, u32)>,
}

/// How a run of blocks is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// Servers keep a separate cache for each adapter.
    Prefix {
        key: u64,
        adapter: Option<u64>,
    },
    Conversation(u64),
}

impl Prompt {
    /// Counts the blocks of a request's prompt. A prompt of unknown length has the blocks of its
    /// keys.
    pub(super) fn of(request: &Request) -> Self {
        let prefix_tokens = request.prefix.map_or(0, |prefix| prefix.tokens);
        let history = request.conversation.map_or(0, |of| of.history_tokens);
        let tokens = request.prompt_tokens;
        let blocks = blocks(tokens.unwrap_or_else(|| prefix_tokens.max(history)));
        let adapter = request.adapter.map(|adapter| adapter.key);
        Self {
            blocks,
            prefix: request.prefix.map(|prefix| {
                let key = prefix.key;
                let shared = self::blocks(prefix_tokens).min(blocks);
                (Key::Prefix { key, adapter }, shared)
            }),
            conversation: request.conversation.map(|conversation| {
                let history = self::blocks(history).min(blocks);
                (Key::Conversation(conversation.key), history)
            }),
        }
    }
}

fn blocks(tokens: u32) -> u32 {
    (tokens / BLOCK_TOKENS).min(BLOCKS_MATCHED)
}

/// The memory: one list per endpoint.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    sent: BTreeMap<EndpointId, Lru>,
}

impl Prefixes {
    /// Returns the share of the prompt's blocks that the endpoint should have, 0..=1.
    pub(super) fn score(&self, endpoint: EndpointId, prompt: &Prompt) -> f64 {
        match prompt.blocks {
            0 => 0.0,
            blocks => f64::from(self.matched(endpoint, prompt)) / f64::from(blocks),
        }
    }

    /// Returns the tokens of the prompt that the endpoint should have.
    pub(super) fn matched_tokens(&self, endpoint: EndpointId, prompt: &Prompt) -> u32 {
        self.matched(endpoint, prompt).saturating_mul(BLOCK_TOKENS)
    }

    fn matched(&self, endpoint: EndpointId, prompt: &Prompt) -> u32 {
        let lru = self.sent.get(&endpoint);
        lru.map_or(0, |lru| lru.matched(prompt))
    }

    /// Records that the prompt went to `endpoint`.
    pub(super) fn on_sent(&mut self, endpoint: EndpointId, prompt: &Prompt) {
        let lru = self.sent.entry(endpoint).or_default();
        let prefix = prompt.prefix.map_or(0, |(_, blocks)| blocks);
        if let Some((key, blocks)) = prompt.prefix {
            lru.put(Some(key), blocks, blocks);
        }
        let rest = prompt.blocks.saturating_sub(prefix);
        lru.put(prompt.conversation.map(|(key, _)| key), prompt.blocks, rest);
    }

    /// Drops endpoints that left the table, once there are more than it has. So memory follows the
    /// pool.
    pub(super) fn forget_those_not_in(&mut self, snapshot: &Snapshot) {
        if self.sent.len() > snapshot.endpoints().len() {
            self.sent.retain(|id, _| snapshot.index_of(*id).is_some());
        }
    }
}

/// Runs of blocks on one endpoint, the last 31,250 blocks.
#[derive(Debug, Default)]
struct Lru {
    /// By the time of their last use.
    runs: BTreeMap<u64, Run>,
    by_key: BTreeMap<Key, u64>,
    uses: u64,
    blocks: u64,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    /// Absent: nothing finds the run again. It only takes up room.
    key: Option<Key>,
    /// The last block it has, counted from the beginning of the prompt.
    reach: u32,
    /// How many blocks it has.
    blocks: u32,
}

impl Lru {
    fn matched(&self, prompt: &Prompt) -> u32 {
        let found = |wanted: Option<(Key, u32)>| {
            let (key, blocks) = wanted?;
            let run = self.runs.get(self.by_key.get(&key)?)?;
            Some(run.reach.min(blocks))
        };
        let found = [prompt.prefix, prompt.conversation].map(found);
        found.into_iter().flatten().max().unwrap_or(0)
    }

    fn put(&mut self, key: Option<Key>, reach: u32, blocks: u32) {
        if blocks == 0 {
            return;
        }
        let mut run = Run { key, reach, blocks };
        self.uses += 1;
        let before = key.and_then(|key| self.by_key.insert(key, self.uses));
        if let Some(before) = before.and_then(|used| self.runs.remove(&used)) {
            // A shorter prompt of the same key leaves the longer one's blocks where they are.
            run.reach = run.reach.max(before.reach);
            run.blocks = run.blocks.max(before.blocks);
            self.blocks = self.blocks.saturating_sub(u64::from(before.blocks));
        }
        self.runs.insert(self.uses, run);
        self.blocks += u64::from(run.blocks);
        while self.blocks > CAPACITY_BLOCKS {
            let Some((_, oldest)) = self.runs.pop_first() else {
                return;
            };
            self.blocks = self.blocks.saturating_sub(u64::from(oldest.blocks));
            if let Some(key) = oldest.key {
                self.by_key.remove(&key);
            }
        }
    }
}
