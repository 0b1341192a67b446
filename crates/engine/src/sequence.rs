//! The sequences that have not ended. Each has a slot, and free slots are used again.

use crate::BLOCK_TOKENS;
use crate::blocks::BlockId;
use crate::request::Request;
use alloc::vec::Vec;

/// Index of a sequence's slot.
pub(crate) type SlotId = u32;

/// A request that has not ended, and its progress.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) request: Request,
    /// Its blocks of the KV cache, in order. Empty while the sequence waits.
    pub(crate) blocks: Vec<BlockId>,
    /// Tokens whose KV is already computed.
    pub(crate) computed: u32,
    /// Tokens that the current step computes.
    pub(crate) scheduled: u32,
    /// Tokens of the answer written so far.
    pub(crate) produced: u32,
    /// Number of blocks, from the first one, that were offered to the prefix cache.
    pub(crate) published: u32,
    /// Requests that came later and were admitted earlier.
    pub(crate) overtaken: u32,
    /// Whether the sequence was admitted at least once.
    pub(crate) queried: bool,
    /// Whether the end of the current step removes the sequence.
    pub(crate) cancelled: bool,
}

impl Sequence {
    pub(crate) fn new(request: Request) -> Self {
        Self {
            request,
            blocks: Vec::new(),
            computed: 0,
            scheduled: 0,
            produced: 0,
            published: 0,
            overtaken: 0,
            queried: false,
            cancelled: false,
        }
    }

    /// Returns the known tokens: the prompt and the answer so far.
    pub(crate) fn tokens(&self) -> u32 {
        self.request.prompt_tokens + self.produced
    }

    /// Returns the known tokens whose KV is not computed. 1 for a sequence that decodes. At least 1
    /// for each sequence in the batch.
    pub(crate) fn remaining(&self) -> u32 {
        self.tokens() - self.computed
    }

    /// Returns the part of `remaining` that is prefill. That is all of it before the first token,
    /// and all of it after a preemption.
    pub(crate) fn prefill_left(&self) -> u64 {
        match self.remaining() {
            1 if self.produced > 0 => 0,
            left => u64::from(left),
        }
    }

    /// Returns the number of blocks that `tokens` tokens need.
    pub(crate) fn blocks_for(tokens: u32) -> u32 {
        tokens.div_ceil(BLOCK_TOKENS)
    }

    /// Returns the part of the chain that an admission may look up in the cache. The last known
    /// token is never looked up: a step must compute at least one token to write the next one.
    pub(crate) fn lookup_chain(&self) -> &[u64] {
        let most = (self.tokens().saturating_sub(1) / BLOCK_TOKENS) as usize;
        self.request
            .chain
            .get(..most)
            .unwrap_or(&self.request.chain)
    }
}

/// The slots of all sequences.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Sequence>>,
    free: Vec<SlotId>,
}

impl Slots {
    pub(crate) fn insert(&mut self, sequence: Sequence) -> SlotId {
        if let Some(id) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(id as usize)
        {
            *slot = Some(sequence);
            return id;
        }
        self.slots.push(Some(sequence));
        self.slots.len() as u32 - 1
    }

    pub(crate) fn get(&self, id: SlotId) -> Option<&Sequence> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: SlotId) -> Option<&mut Sequence> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: SlotId) -> Option<Sequence> {
        let sequence = self.slots.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(sequence)
    }
}
