//! Decides which sequences the next step computes.

use super::{Batch, Engine};
use crate::BLOCK_TOKENS;
use crate::adapters::Taken;
use crate::request::Event;
use crate::sequence::{Sequence, SlotId};
use alloc::vec::Vec;

/// How many requests of the queue a step looks at to find some that can run. Bounds the work of a
/// step.
const SCAN_LIMIT: usize = 256;

impl Engine {
    /// Gives each running sequence its share of the step, oldest first. Returns whether a sequence
    /// was preempted.
    pub(super) fn schedule_running(&mut self, batch: &mut Batch, events: &mut Vec<Event>) -> bool {
        let mut preempted = false;
        let mut place = 0;
        while batch.budget_tokens > 0
            && let Some(&slot) = self.running.get(place)
            && let Some(sequence) = self.slots.get(slot)
        {
            let chunk = sequence.remaining().min(batch.budget_tokens);
            let held = sequence.blocks.len() as u32;
            let needed = Sequence::blocks_for(sequence.computed + chunk).saturating_sub(held);
            while self.pool.free() < needed && place < self.running.len() {
                self.preempt_youngest(events);
                preempted = true;
            }
            if place < self.running.len() {
                self.schedule(slot, chunk, batch);
            }
            place += 1;
        }
        preempted
    }

    /// Takes the youngest sequence out of the batch. Its cached blocks stay in the cache until
    /// another sequence needs the memory. So recomputing may cost less than the whole length.
    fn preempt_youngest(&mut self, events: &mut Vec<Event>) {
        let Some(slot) = self.running.pop() else {
            return;
        };
        self.give_back(slot);
        if let Some(sequence) = self.slots.get_mut(slot) {
            sequence.computed = 0;
            sequence.published = 0;
            events.push(Event::Preempted {
                id: sequence.request.id,
            });
        }
        self.waiting.push_front(slot);
        self.counters.preemptions += 1;
    }

    /// Admits requests from the queue, first come, first served.
    ///
    /// Skips a request whose adapter has no free slot, as vLLM does. But at most `max_num_seqs`
    /// later requests may overtake it. Otherwise a few popular adapters could keep it waiting
    /// without end.
    pub(super) fn admit(&mut self, batch: &mut Batch, events: &mut Vec<Event>) {
        self.deferred = 0;
        let mut place = 0;
        while batch.budget_tokens > 0
            && self.running.len() < self.profile.max_num_seqs as usize
            && place < SCAN_LIMIT
            && let Some(&slot) = self.waiting.get(place)
            && let Some(sequence) = self.slots.get(slot)
        {
            if sequence
                .request
                .adapter
                .is_some_and(|adapter| !self.adapters.can_take(adapter))
            {
                self.deferred += 1;
                if sequence.overtaken >= self.profile.max_num_seqs {
                    break;
                }
                place += 1;
            } else if self.try_admit(slot, batch, events) {
                self.waiting.remove(place);
                for passed in self.waiting.iter().take(place) {
                    if let Some(sequence) = self.slots.get_mut(*passed) {
                        sequence.overtaken += 1;
                    }
                }
            } else {
                break;
            }
        }
    }

    /// Admits one request if *all* its known tokens fit. Returns whether it was admitted. vLLM only
    /// needs blocks for the first chunk. Taking blocks for the whole prompt keeps long prompts from
    /// preempting each other half way.
    fn try_admit(&mut self, slot: SlotId, batch: &mut Batch, events: &mut Vec<Event>) -> bool {
        let Some(sequence) = self.slots.get_mut(slot) else {
            return false;
        };
        let id = sequence.request.id;
        if self.blocked == Some((id, self.pool.releases())) {
            return false;
        }
        let (hits, unheld_hits) = self.pool.lookup(sequence.lookup_chain());
        let fresh = Sequence::blocks_for(sequence.tokens()).saturating_sub(hits);
        let reserve = if self.running.is_empty() {
            0
        } else {
            self.profile.watermark_blocks()
        };
        if self.pool.free() < unheld_hits + fresh + reserve {
            self.blocked = Some((id, self.pool.releases()));
            return false;
        }
        if let Some(adapter) = sequence.request.adapter
            && self.adapters.take(adapter) == Some(Taken::Loaded)
        {
            batch.adapter_loads += 1;
            self.counters.adapter_loads += 1;
        }
        let shared = sequence
            .request
            .chain
            .iter()
            .take(hits as usize)
            .filter_map(|hash| self.pool.share(*hash));
        sequence.blocks.extend(shared);
        sequence
            .blocks
            .extend((0..fresh).map_while(|_| self.pool.allocate()));
        sequence.published = hits;
        sequence.computed = hits * BLOCK_TOKENS;
        if !core::mem::replace(&mut sequence.queried, true) {
            self.counters.prefix_query_tokens += u64::from(sequence.request.prompt_tokens);
            self.counters.prefix_hit_tokens += u64::from(sequence.computed);
        }
        events.push(Event::Admitted {
            id,
            cached_tokens: sequence.computed,
        });
        let chunk = sequence.remaining().min(batch.budget_tokens);
        self.running.push(slot);
        self.schedule(slot, chunk, batch);
        true
    }

    /// Adds `chunk` tokens of a sequence to the step. The blocks that these tokens fill can be
    /// shared at once, because a request admitted after this runs in this step or a later one.
    fn schedule(&mut self, slot: SlotId, chunk: u32, batch: &mut Batch) {
        let Some(sequence) = self.slots.get_mut(slot) else {
            return;
        };
        let end = sequence.computed + chunk;
        while (sequence.blocks.len() as u32) < Sequence::blocks_for(end)
            && let Some(block) = self.pool.allocate()
        {
            sequence.blocks.push(block);
        }
        while sequence.published < end / BLOCK_TOKENS {
            let place = sequence.published as usize;
            if let (Some(block), Some(hash)) = (
                sequence.blocks.get(place),
                sequence.request.chain.get(place),
            ) {
                self.pool.publish(*block, *hash);
            }
            sequence.published += 1;
        }
        sequence.scheduled = chunk;
        batch.budget_tokens -= chunk;
        if sequence.produced > 0 && sequence.remaining() == 1 {
            batch.decode_sequences += 1;
            batch.context_tokens += u64::from(sequence.computed);
        } else {
            batch.add_prefill(sequence.computed, chunk, &self.profile);
        }
    }
}
