//! The scheduler: which sequences the next step computes, and what the step costs.

use crate::adapters::{AdapterSlots, Taken};
use crate::blocks::BlockPool;
use crate::request::{Event, Request, SubmitError};
use crate::sequence::{Sequence, SlotId, Slots};
use crate::stats::{Counters, Gauges};
use crate::{BLOCK_TOKENS, Profile, ProfileError};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// How far into the queue a step looks for requests whose adapter is at hand. Bounds the work of a step.
const SCAN_LIMIT: usize = 256;

/// One server. See the crate's documentation for the model and an example.
#[derive(Debug)]
pub struct Engine {
    profile: Profile,
    pool: BlockPool,
    slots: Slots,
    by_id: BTreeMap<u64, SlotId>,
    /// The batch, oldest admission first.
    running: Vec<SlotId>,
    waiting: VecDeque<SlotId>,
    adapters: AdapterSlots,
    deferred: u32,
    /// Between `begin_step` and `finish_step`.
    open: bool,
    /// The request that did not fit, and the pool's release count when it was tried: until that moves, it does not fit.
    blocked: Option<(u64, u64)>,
    counters: Counters,
}

/// What a step does and how long it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPlan {
    /// Time from begin to finish, in seconds. More than 0.
    pub duration_s: f64,
    /// Tokens prefilled.
    pub prefill_tokens: u32,
    /// Sequences that decode one token each.
    pub decode_sequences: u32,
    /// Tokens of context of the decoding sequences.
    pub context_tokens: u64,
    /// Adapters loaded before the step could run.
    pub adapter_loads: u32,
}

/// The step being put together.
#[derive(Debug, Default)]
struct Batch {
    budget_tokens: u32,
    prefill_tokens: u32,
    /// Prefilled tokens, each weighted with the cost of its position.
    weighted_prefill: f64,
    decode_sequences: u32,
    context_tokens: u64,
    adapter_loads: u32,
}

impl Engine {
    /// An empty server.
    ///
    /// # Errors
    /// When a field of the profile is out of range.
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

    /// Puts a request at the end of the queue. The next `begin_step` is the first that may run it.
    ///
    /// # Errors
    /// When the request is malformed or could never run; the engine is unchanged.
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

    /// Ends a request early and frees what it holds; no further event names it. A sequence that the step under way computes leaves at
    /// the end of that step, because the accelerator is working on its blocks. Returns whether the request was there.
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

    /// Plans the next step and appends its admissions and preemptions to `events`. `None` when there is nothing to do, or when the
    /// last step has not been finished.
    pub fn begin_step(&mut self, events: &mut Vec<Event>) -> Option<StepPlan> {
        if self.open {
            return None;
        }
        let mut batch = Batch {
            budget_tokens: self.profile.max_batched_tokens,
            ..Batch::default()
        };
        let preempted = self.schedule_running(&mut batch, events);
        // As in vLLM, a step that ran out of memory admits nobody.
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

    /// Ends the step and appends the tokens it wrote to `events`. Does nothing when no step is open.
    pub fn finish_step(&mut self, events: &mut Vec<Event>) {
        if !core::mem::take(&mut self.open) {
            return;
        }
        self.counters.steps += 1;
        let mut running = core::mem::take(&mut self.running);
        running.retain(|slot| self.advance(*slot, events));
        self.running = running;
    }

    /// Moves one sequence past the step. Returns whether it stays in the batch.
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

    /// Gives each running sequence its share of the step, oldest first. Returns whether one was preempted.
    fn schedule_running(&mut self, batch: &mut Batch, events: &mut Vec<Event>) -> bool {
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

    /// Takes the youngest out of the batch. Its cached blocks stay in the cache until someone needs them, so that recomputing it
    /// may cost less than its length.
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

    /// Admits from the queue, first come first served. A request whose adapter finds no slot is passed over, as in vLLM; but it is
    /// overtaken no more than `max_num_seqs` times, or a few popular adapters could keep it waiting for ever.
    fn admit(&mut self, batch: &mut Batch, events: &mut Vec<Event>) {
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

    /// Admits one request if *all* its known tokens fit. vLLM asks for the first chunk's blocks only; taking the whole prompt's
    /// keeps long prompts from preempting one another half way.
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

    /// Adds `chunk` tokens of a sequence to the step. The blocks that these tokens fill can be shared from now on: whoever is
    /// admitted next runs in this step or after it, when they are computed.
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

    /// Releases the blocks, last one first, so that the end of a prefix is evicted before its beginning.
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

    /// Whether no request is waiting or running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The profile this engine was made with.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The state now.
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

    /// Totals since the engine was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Adapters that running requests use, in slot order, each once.
    pub fn running_adapters(&self) -> impl Iterator<Item = u32> {
        self.adapters.in_use()
    }

    /// Adapters of waiting requests, in queue order, repeated as they come. Cost: O(waiting).
    pub fn waiting_adapters(&self) -> impl Iterator<Item = u32> {
        self.waiting
            .iter()
            .filter_map(|slot| self.slots.get(*slot)?.request.adapter)
    }

    /// Drops an adapter that no running request uses from its slot, so that its next use loads it again.
    pub fn evict_adapter(&mut self, adapter: u32) {
        self.adapters.evict(adapter);
    }
}

impl Batch {
    fn add_prefill(&mut self, start: u32, tokens: u32, profile: &Profile) {
        let middle = f64::from(start) + f64::from(tokens) / 2.0;
        self.prefill_tokens += tokens;
        self.weighted_prefill += f64::from(tokens) * (1.0 + middle / profile.attention_half_tokens);
    }

    fn plan(&self, profile: &Profile) -> StepPlan {
        let duration_s = profile.step_base_s
            + profile.prefill_s_per_token * self.weighted_prefill
            + profile.decode_s_per_sequence * f64::from(self.decode_sequences)
            + profile.context_s_per_token * self.context_tokens as f64
            + profile.adapter_load_s * f64::from(self.adapter_loads);
        StepPlan {
            duration_s: duration_s / profile.speed,
            prefill_tokens: self.prefill_tokens,
            decode_sequences: self.decode_sequences,
            context_tokens: self.context_tokens,
            adapter_loads: self.adapter_loads,
        }
    }
}
