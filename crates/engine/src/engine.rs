//! The state machine: takes requests, runs steps, reports events.

mod batch;
mod schedule;

pub use batch::StepPlan;

use batch::Batch;

use crate::adapters::AdapterSlots;
use crate::blocks::BlockPool;
use crate::request::{Event, Request, SubmitError};
use crate::sequence::{Sequence, SlotId, Slots};
use crate::stats::{Counters, Gauges};
use crate::{BLOCK_TOKENS, Profile, ProfileError};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// One model server. The crate's documentation has the model and an example.
#[derive(Debug)]
pub struct Engine {
    profile: Profile,
    pool: BlockPool,
    slots: Slots,
    by_id: BTreeMap<u64, SlotId>,
    /// The batch, by admission, oldest first.
    running: Vec<SlotId>,
    waiting: VecDeque<SlotId>,
    adapters: AdapterSlots,
    deferred: u32,
    /// Whether a step is open: `begin_step` was called, `finish_step` was not.
    open: bool,
    /// The request that did not fit, and the pool's release count at that attempt. While the count
    /// stays the same, the request still does not fit.
    blocked: Option<(u64, u64)>,
    counters: Counters,
}

impl Engine {
    /// Creates an engine without requests.
    ///
    /// # Errors
    /// Returns an error when a field of the profile is out of range.
    pub fn new(profile: Profile) -> Result<Self, ProfileError> {
        profile.check()?;
        Ok(Self {
            pool: BlockPool::new(profile.kv_blocks),
            adapters: AdapterSlots::new(profile.adapter_slots),
            profile,
            slots: Slots::default(),
            by_id: BTreeMap::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            deferred: 0,
            open: false,
            blocked: None,
            counters: Counters::default(),
        })
    }

    /// Puts a request at the end of the queue. It can run from the next `begin_step` on.
    ///
    /// # Errors
    /// Returns an error when the request is malformed or could never run. The engine then stays
    /// unchanged.
    pub fn submit(&mut self, request: Request) -> Result<(), SubmitError> {
        if request.prompt_tokens == 0 || request.output_tokens == 0 {
            return Err(SubmitError::Empty);
        }
        if request.adapter.is_some() && self.profile.adapter_slots == 0 {
            return Err(SubmitError::NoAdapterSlots);
        }
        let tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens);
        let needed_blocks = tokens.div_ceil(u64::from(BLOCK_TOKENS));
        if needed_blocks > u64::from(self.profile.kv_blocks) {
            return Err(SubmitError::TooLong {
                needed_blocks,
                kv_blocks: self.profile.kv_blocks,
            });
        }
        let id = request.id;
        if self.by_id.contains_key(&id) {
            return Err(SubmitError::DuplicateId(id));
        }
        let slot = self.slots.insert(Sequence::new(request));
        self.by_id.insert(id, slot);
        self.waiting.push_back(slot);
        Ok(())
    }

    /// Ends a request early and frees what it holds. No later event names it. If the current step
    /// computes it, it leaves at the end of that step, because the accelerator still works on its
    /// blocks. Returns whether there was a request to cancel.
    pub fn cancel(&mut self, id: u64) -> bool {
        let Some(&slot) = self.by_id.get(&id) else {
            return false;
        };
        let Some(sequence) = self.slots.get_mut(slot) else {
            return false;
        };
        if sequence.cancelled {
            return false;
        }
        self.counters.cancelled += 1;
        if sequence.scheduled > 0 {
            sequence.cancelled = true;
            return true;
        }
        if let Some(place) = self.waiting.iter().position(|s| *s == slot) {
            self.waiting.remove(place);
        } else {
            self.running.retain(|s| *s != slot);
            self.give_back(slot);
        }
        self.forget(slot);
        true
    }

    /// Plans the next step. Appends its admissions and preemptions to `events`. Returns `None` when
    /// there is nothing to do, or when the last step is not finished.
    pub fn begin_step(&mut self, events: &mut Vec<Event>) -> Option<StepPlan> {
        if self.open {
            return None;
        }
        let mut batch = Batch {
            budget_tokens: self.profile.max_batched_tokens,
            ..Batch::default()
        };
        let preempted = self.schedule_running(&mut batch, events);
        // As in vLLM, a step that preempted a sequence admits no request.
        if !preempted || self.running.is_empty() {
            self.admit(&mut batch, events);
        }
        if batch.prefill_tokens == 0 && batch.decode_sequences == 0 {
            return None;
        }
        let plan = batch.plan(&self.profile);
        self.open = true;
        self.counters.busy_s += plan.duration_s;
        self.counters.computed_prefill_tokens += u64::from(plan.prefill_tokens);
        Some(plan)
    }

    /// Ends the step. Appends the tokens that it wrote to `events`. Does nothing when no step is
    /// open.
    pub fn finish_step(&mut self, events: &mut Vec<Event>) {
        if !core::mem::take(&mut self.open) {
            return;
        }
        self.counters.steps += 1;
        let mut running = core::mem::take(&mut self.running);
        running.retain(|slot| self.advance(*slot, events));
        self.running = running;
    }

    /// Moves one sequence past the step. Returns whether the sequence stays in the batch.
    fn advance(&mut self, slot: SlotId, events: &mut Vec<Event>) -> bool {
        let Some(sequence) = self.slots.get_mut(slot) else {
            return false;
        };
        sequence.computed += core::mem::take(&mut sequence.scheduled);
        let mut stays = !sequence.cancelled;
        if stays && sequence.remaining() == 0 {
            sequence.produced += 1;
            let finished = sequence.produced >= sequence.request.output_tokens;
            events.push(Event::Token {
                id: sequence.request.id,
                produced: sequence.produced,
                finished,
            });
            self.counters.generation_tokens += 1;
            if sequence.produced == 1 {
                self.counters.prompt_tokens += u64::from(sequence.request.prompt_tokens);
            }
            self.counters.finished += u64::from(finished);
            stays = !finished;
        }
        if !stays {
            self.give_back(slot);
            self.forget(slot);
        }
        stays
    }

    /// Releases a sequence's adapter and blocks. The last block goes first, so that the end of a
    /// prefix is evicted before its beginning.
    fn give_back(&mut self, slot: SlotId) {
        let Some(sequence) = self.slots.get_mut(slot) else {
            return;
        };
        while let Some(block) = sequence.blocks.pop() {
            self.pool.release(block);
        }
        if let Some(adapter) = sequence.request.adapter {
            self.adapters.release(adapter);
        }
    }

    fn forget(&mut self, slot: SlotId) {
        if let Some(sequence) = self.slots.remove(slot) {
            self.by_id.remove(&sequence.request.id);
        }
    }

    /// Returns whether no request is waiting or running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns the profile of this engine.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Returns the state at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            waiting: self.waiting.len() as u32,
            waiting_deferred: self.deferred.min(self.waiting.len() as u32),
            running: self.running.len() as u32,
            kv_blocks_used: self.pool.used(),
            kv_blocks_cached: self.pool.cached(),
            kv_used_ratio: f64::from(self.pool.used()) / f64::from(self.profile.kv_blocks),
        }
    }

    /// Returns the totals since the engine was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns how many tokens of a prompt with this chain are cached at this moment. An admission
    /// would find the same, except for the last token, which is always computed. Cost: O(cached
    /// blocks).
    #[must_use]
    pub fn cached_tokens(&self, chain: &[u64]) -> u32 {
        self.pool.lookup(chain).0 * BLOCK_TOKENS
    }

    /// Returns the tokens that running requests still have to prefill, including those of the
    /// current step. Cost: O(running).
    #[must_use]
    pub fn prefill_left(&self) -> u64 {
        let left = |slot: &SlotId| self.slots.get(*slot).map_or(0, Sequence::prefill_left);
        self.running.iter().map(left).sum()
    }

    /// Returns the adapters that running requests use, in slot order, each once.
    pub fn running_adapters(&self) -> impl Iterator<Item = u32> {
        self.adapters.in_use()
    }

    /// Returns the adapters of waiting requests, in queue order, with repetitions. Cost:
    /// O(waiting).
    pub fn waiting_adapters(&self) -> impl Iterator<Item = u32> {
        self.waiting
            .iter()
            .filter_map(|slot| self.slots.get(*slot)?.request.adapter)
    }

    /// Returns whether the adapter is in a slot, so that a use would not load it.
    #[must_use]
    pub fn holds_adapter(&self, adapter: u32) -> bool {
        self.adapters.holds(adapter)
    }

    /// Removes an adapter from its slot if no running request uses it. The next use then loads it
    /// again.
    pub fn evict_adapter(&mut self, adapter: u32) {
        self.adapters.evict(adapter);
    }
}
