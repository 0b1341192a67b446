//! The sequences that have not ended, in slots that are used again.

use crate::BLOCK_TOKENS;
use crate::blocks::BlockId;
use crate::request::Request;
use alloc::vec::Vec;

/// Index of a sequence's slot.
pub(crate) type SlotId = u32;

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) request: Request,
    /// Its part of the KV cache, in order. Empty while it waits.
    pub(crate) blocks: Vec<BlockId>,
    /// Tokens whose KV is computed.
    pub(crate) computed: u32,
    /// Tokens that the step under way computes.
    pub(crate) scheduled: u32,
    /// Tokens written.
    pub(crate) produced: u32,
    /// Blocks offered to the prefix cache.
    pub(crate) published: u32,
    /// Requests that were admitted before it although they came later.
    pub(crate) overtaken: u32,
    /// Was admitted at least once.
    pub(crate) queried: bool,
    /// To be removed at the end of the step under way.
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

    /// Tokens known: the prompt and what was written so far.
    pub(crate) fn tokens(&self) -> u32 {
        self.request.prompt_tokens + self.produced
    }

    /// Tokens known whose KV is not computed. 1 for a sequence that decodes, never 0 for one that runs.
    pub(crate) fn remaining(&self) -> u32 {
        self.tokens() - self.computed
    }

    /// The part of `remaining` that is prefill: all of it before the first token, and after a preemption.
    pub(crate) fn prefill_left(&self) -> u64 {
        match self.remaining() {
            1 if self.produced > 0 => 0,
            left => u64::from(left),
        }
    }

    /// Blocks that `tokens` tokens need.
    pub(crate) fn blocks_for(tokens: u32) -> u32 {
        tokens.div_ceil(BLOCK_TOKENS)
    }

    /// The part of the chain that an admission may look up. The last known token is always computed, since a step must have
    /// something to compute in order to write the next one.
    pub(crate) fn lookup_chain(&self) -> &[u64] {
        let most = (self.tokens().saturating_sub(1) / BLOCK_TOKENS) as usize;
        self.request
            .chain
            .get(..most)
            .unwrap_or(&self.request.chain)
    }
}

/// Slots of sequences.
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
